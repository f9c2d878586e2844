import numpy as np
import pytest

from nerfbot.limits import NerfSpec
from nerfbot.limits.fields import COMMAND_FIELDS
from nerfbot.limits.link import CommandLink
from nerfbot.limits.streams import Stream
from nerfbot.limits.table import LimitTable


def link(count: int = 1, **command) -> CommandLink:
    seeds = np.arange(count, dtype=np.uint64)
    section = NerfSpec.parse({"name": "t", "command": command}).link()
    return CommandLink(LimitTable([("command", section)], COMMAND_FIELDS, seeds), seeds, channels=2)


def send(link: CommandLink, value: float, now: float, count: int = 1) -> list[float]:
    arrived = link.send(np.full((count, 2), value), now)
    assert np.array_equal(arrived[:, 0], arrived[:, 1])
    return arrived[:, 0].tolist()


def test_a_command_arrives_after_the_latency():
    commands = link(latency=0.25)
    assert [send(commands, step + 1.0, 0.125 * step)[0] for step in range(5)] == [0.0, 0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("dt", [0.05, 0.1, 0.25, 0.37])
def test_latency_is_a_time_at_any_call_rate(dt):
    commands = link(latency=1.0)
    for step in range(100):
        now = step * dt
        arrived = send(commands, now, now)[0]
        sent = [k * dt for k in range(step + 1) if k * dt + 1.0 <= now + 1e-9]
        assert arrived == (sent[-1] if sent else 0.0)


def test_before_the_first_arrival_the_neutral_command_stands():
    commands = link(latency=1.0)
    commands.begin(np.array([0]), np.array([[5.0, 5.0]]))
    assert send(commands, 1.0, 0.0) == [5.0]
    assert send(commands, 2.0, 1.0) == [1.0]
    commands.begin(np.array([0]), np.array([[6.0, 6.0]]))
    assert send(commands, 3.0, 1.5) == [6.0]
    assert send(commands, 4.0, 2.5) == [3.0]


def test_jitter_adds_a_uniform_number_to_each_message():
    commands, now = link(latency=0.5, jitter=0.25), 0.0
    delays = 0.5 + 0.25 * Stream("command/jitter", np.zeros(1, np.uint64)).uniform(
        np.zeros(1, np.intp), np.arange(200)
    )
    due = np.maximum.accumulate(delays + 0.0625 * np.arange(200))
    for step in range(200):
        now = 0.0625 * step
        expected = np.flatnonzero(due[: step + 1] <= now)
        assert send(commands, step + 1.0, now)[0] == (expected[-1] + 1.0 if len(expected) else 0.0)


def test_jitter_alone_is_jitter_around_no_latency():
    commands = link(jitter=1.0)
    first = Stream("command/jitter", np.zeros(1, np.uint64)).uniform(np.zeros(1, np.intp), np.zeros(1, int))[
        0
    ]
    assert send(commands, 1.0, 0.0) == [0.0]
    assert send(commands, 2.0, first - 1e-6) == [0.0]
    assert send(commands, 3.0, first + 1e-6) == [1.0]


def test_a_reset_robots_jitters_start_anew_and_the_others_go_on():
    commands, undisturbed = link(2, latency=0.1, jitter=0.5), link(2, latency=0.1, jitter=0.5)
    for step in range(10):
        send(commands, step, 0.05 * step, 2)
        send(undisturbed, step, 0.05 * step, 2)
    robots, seeds = np.array([0]), np.array([30], np.uint64)
    commands.reset(robots, seeds)
    commands.begin(robots, np.zeros((1, 2)))
    section = NerfSpec.parse({"name": "t", "command": {"latency": 0.1, "jitter": 0.5}}).link()
    alone = CommandLink(LimitTable([("c", section)], COMMAND_FIELDS, seeds), seeds, 2)
    for step in range(10, 150):
        both = send(commands, step, 0.05 * step, 2)
        assert both[0] == send(alone, step, 0.05 * step)[0]
        assert both[1] == send(undisturbed, step, 0.05 * step, 2)[1]
