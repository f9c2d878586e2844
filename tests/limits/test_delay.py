import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerfbot.limits.delay import ROUNDING, DelayLine


class Line:
    """A delay line of one number a robot, with lists in and out."""

    def __init__(self, *initial: float) -> None:
        self.line, self.out = DelayLine(len(initial), 1), np.empty((len(initial), 1))
        self.line.reset(np.arange(len(initial)), np.array(initial)[:, None])

    def push(self, now: float, delay: float | list[float], *value: float) -> None:
        self.line.push(np.array(value)[:, None], now, np.asarray(delay, float))

    def pop(self, now: float) -> list[float]:
        self.line.pop(now, self.out)
        return self.out[:, 0].tolist()


def test_a_line_that_has_long_been_in_use_grows_without_losing_a_message():
    line = Line(0.0, 0.0)
    for number in range(1003):
        line.push(float(number), [0.0, 0.0], number, number)
        assert line.pop(float(number)) == [number, number]
    for number in range(1003, 1103):
        line.push(float(number), [200.0, 0.0], number, number)
        assert line.pop(float(number)) == [1002.0, number]
    for number in range(1003, 1103):
        assert line.pop(number + 200.0) == [number, 1102.0]


def test_memory_is_bounded_by_the_messages_under_way():
    line = Line(0.0)
    for number in range(1000):
        line.push(float(number), [3.0], number)
        line.pop(float(number))
    assert len(line.line._due) == 8


@pytest.mark.parametrize("count", [1, 2])
class TestOneMessage:
    def test_the_initial_value_stands_until_the_first_release(self, count):
        line = Line(*[7.0] * count)
        assert line.pop(100.0) == [7.0] * count

    def test_a_message_comes_out_at_its_due_time_and_not_before(self, count):
        line = Line(*[0.0] * count)
        line.push(1.0, [0.5] * count, *[3.0] * count)
        assert line.pop(1.4999) == [0.0] * count
        assert line.pop(1.5) == [3.0] * count
        assert line.pop(9.0) == [3.0] * count

    def test_without_delay_it_comes_out_at_once(self, count):
        line = Line(*[0.0] * count)
        line.push(1.0, [0.0] * count, *[3.0] * count)
        assert line.pop(1.0) == [3.0] * count

    def test_of_several_due_ones_the_newest_comes_out(self, count):
        line = Line(*[0.0] * count)
        for index in range(5):
            line.push(index, [1.0] * count, *[index + 1.0] * count)
        assert line.pop(3.5) == [3.0] * count
        assert line.pop(4.0) == [4.0] * count
        assert line.pop(4.5) == [4.0] * count
        assert line.pop(6.0) == [5.0] * count

    def test_a_falling_latency_never_reorders(self, count):
        line = Line(*[0.0] * count)
        line.push(0.0, [2.0] * count, *[1.0] * count)
        line.push(0.5, [0.0] * count, *[2.0] * count)
        assert line.pop(0.5) == [0.0] * count
        assert line.pop(1.9) == [0.0] * count
        assert line.pop(2.0) == [2.0] * count

    def test_many_messages_under_way_are_all_kept(self, count):
        line = Line(*[0.0] * count)
        for index in range(100):
            line.push(index, [1000.0] * count, *[index + 1.0] * count)
        assert line.pop(999.0) == [0.0] * count
        assert [line.pop(1000.0 + index) for index in range(100)] == [
            [index + 1.0] * count for index in range(100)
        ]

    def test_what_was_pushed_may_be_changed_afterwards(self, count):
        line, value = DelayLine(count, 1), np.ones((count, 1))
        line.push(value, 0.0, np.zeros(count))
        value[:] = 5.0
        out = np.empty((count, 1))
        line.pop(0.0, out)
        assert out[0, 0] == 1.0


def test_each_robot_has_its_own_latency():
    line = Line(0.0, 0.0, 0.0)
    line.push(0.0, [0.0, 1.0, 2.0], 1.0, 2.0, 3.0)
    assert line.pop(0.0) == [1.0, 0.0, 0.0]
    assert line.pop(1.5) == [1.0, 2.0, 0.0]
    assert line.pop(2.0) == [1.0, 2.0, 3.0]


def test_a_reset_robot_loses_what_is_under_way_and_the_others_do_not():
    line = Line(0.0, 0.0)
    line.push(0.0, [1.0, 1.0], 1.0, 2.0)
    line.line.reset(np.array([0]), np.array([[9.0]]))
    assert line.pop(0.5) == [9.0, 0.0]
    assert line.pop(1.0) == [9.0, 2.0]
    line.push(1.0, [0.5, 0.5], 3.0, 4.0)
    assert line.pop(1.5) == [3.0, 4.0]


def test_before_any_reset_the_value_is_zero():
    out = np.full((2, 3), 9.0)
    DelayLine(2, 3).pop(0.0, out)
    assert not out.any()


def test_a_reset_lets_a_short_latency_act_at_once():
    line = Line(0.0)
    line.push(0.0, [10.0], 1.0)
    line.line.reset(np.array([0]), np.array([[0.0]]))
    line.push(0.1, [0.0], 2.0)
    assert line.pop(0.1) == [2.0]


def test_all_elements_and_their_type_are_kept():
    line = DelayLine(2, 3, np.uint8)
    line.push(np.array([[1, 2, 255], [4, 5, 6]]), 0.0, np.array([0.0, 1.0]))
    out = np.full((2, 3), 9, np.uint8)
    line.pop(0.5, out)
    assert out.tolist() == [[1, 2, 255], [0, 0, 0]]


def test_an_exchange_is_a_push_and_then_a_pop():
    pair, line = Line(0.0, 0.0), Line(0.0, 0.0)
    arrived = np.empty((2, 1))
    for number in range(50):
        now, delay = 0.25 * number, np.array([0.5, 3.0])
        pair.push(now, delay, number, -number)
        line.line.exchange(np.array([[number], [-number]], float), now, delay, arrived)
        assert arrived[:, 0].tolist() == pair.pop(now)
    assert arrived[:, 0].tolist() == [47.0, -37.0]


@given(
    st.lists(
        st.tuples(st.floats(0.001, 0.3), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.booleans()), max_size=60
    )
)
def test_it_behaves_like_a_list_of_messages(script):
    line, now = Line(-1.0, -1.0), 0.0
    queues: list[list[tuple[float, float]]] = [[], []]
    current = [-1.0, -1.0]
    for number, (dt, first, second, reset) in enumerate(script):
        now += dt
        if reset:
            line.line.reset(np.array([1]), np.array([[-2.0]]))
            queues[1], current[1] = [], -2.0
        line.push(now, [first, second], float(number), float(number))
        for robot, delay in enumerate((first, second)):
            due = max([now + delay] + [item[0] for item in queues[robot][-1:]])
            queues[robot].append((due, float(number)))
            released = [item for item in queues[robot] if item[0] <= now + ROUNDING]
            current[robot] = released[-1][1] if released else current[robot]
        assert line.pop(now) == current


def test_rounding_of_a_sum_of_times_does_not_hold_a_message_back():
    line, now = Line(0.0), sum([0.1] * 3)  # 0.30000000000000004
    line.push(now, [0.1], 1.0)
    assert line.pop(0.4) == [1.0]
    assert line.pop(0.4 - 1e-6) == [1.0]
