"""The command filter without ROS: the bare limiter's commands, and stops by its own clock."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from nerfbot.errors import InvalidCommand
from nerfbot.hardware.safety.command_filter import CommandFilter
from nerfbot.hardware.safety.permit import PermitSource
from nerfbot.hardware.safety.rate_limit import RateLimiter
from nerfbot.limits import ActuatorLimiter, Channel, ChannelEnvelope, Envelope, NerfSpec

MEASURES = frozenset({"velocity"})
CHANNELS = (
    Channel("linear.x", "velocity", "m/s", True, MEASURES),
    Channel("angular.z", "velocity", "rad/s", True, MEASURES),
)
SPEC = NerfSpec.load("rover-weak")
assert SPEC.envelope is not None
ENVELOPE = SPEC.envelope


def make_filter(**more: object) -> CommandFilter:
    settings: dict = {"period": 0.05, "timeout": 0.1, "seed": 3, **more}
    return CommandFilter(settings.pop("spec", SPEC), CHANNELS, ENVELOPE, **settings)


def permitted(
    filter_: CommandFilter, now: float, levels: tuple[float, ...] = (0.0,) * 4, stop: str = ""
) -> None:
    source = filter_.__dict__.setdefault("source", PermitSource(0.3))
    filter_.permit.take(source.next(levels, stop, now=now).encode(), 1, now)


def trace(steps: int) -> np.ndarray:
    return np.random.default_rng(0).uniform([-2.0, -4.0], [2.0, 4.0], (steps, 2))


def test_in_simulated_time_it_gives_what_the_bare_limiter_gives_bit_for_bit() -> None:
    filter_ = make_filter(stamps_are_time=True)
    bare = ActuatorLimiter(SPEC, CHANNELS, seed=3, envelope=ENVELOPE, period=0.05)
    bare.reset(seeds=[3])
    permitted(filter_, 1000.0)
    filter_.tick(1000.0, None)
    for step, command in enumerate(trace(400)):
        now, stamp = 1000.0 + 0.011 * step, 1.0 + 0.05 * step
        levels = (0.0, 1.0, 0.0, 0.5) if 100 <= step < 200 else (0.0,) * 4
        permitted(filter_, now, levels)
        output = filter_.command(command.tolist(), now, stamp, "a", None)
        limited = bare.apply(command[None], None, stamp, np.array([levels]))
        assert output is not None
        assert output.values == limited.value[0].tolist()
        assert output.effort_limit == limited.effort_limit[0].tolist()


def test_a_simulation_slower_than_the_stop_goes_on_where_it_was() -> None:
    filter_ = make_filter(stamps_are_time=True, spec=NerfSpec(name="none"))
    now = 1000.0
    for step in range(20):
        now += 0.05
        permitted(filter_, now)
        filter_.command([0.4, 0.0], now, 1.0 + 0.05 * step, "a", None)
    for _ in range(100):
        now += 0.02
        filter_.tick(now, None)
    for step in range(20, 60):
        now += 0.05
        permitted(filter_, now)
        output = filter_.command([0.4, 0.0], now, 1.0 + 0.05 * step, "a", None)
    assert output is not None
    assert output.values[0] == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["inactive", "second-publisher"])
def test_a_condition_stops_whatever_is_commanded(name: str) -> None:
    filter_ = make_filter(spec=NerfSpec(name="none"))
    for step in range(10):
        permitted(filter_, 0.05 * step)
        filter_.command([0.4, 0.0], 0.05 * step, 0.0, "a", None)
    filter_.stop_conditions[name] = "because"
    for step in range(10, 20):
        permitted(filter_, 0.05 * step)
        filter_.command([0.4, 0.0], 0.05 * step, 0.0, "a", None)
        output = filter_.tick(0.05 * step + 0.02, None)
    assert output is not None
    assert output.values == [0.0, 0.0]
    assert output.stop == f"{name}: because"


def test_a_bad_command_stops_at_once_and_the_next_good_one_is_followed() -> None:
    filter_ = make_filter(spec=NerfSpec(name="none"))
    for step in range(10):
        permitted(filter_, 0.05 * step)
        filter_.command([0.4, 0.0], 0.05 * step, 0.0, "a", None)
    stop = filter_.command(InvalidCommand("linear.x = nan: must be finite"), 0.5, 0.0, "a", None)
    assert stop is not None
    assert stop.values[0] < 0.4
    assert "linear.x = nan" in stop.stop
    permitted(filter_, 0.55)
    good = filter_.command([0.4, 0.0], 0.55, 0.0, "a", None)
    assert good is not None
    assert good.stop == ""


def test_the_rate_limiter_bounds_range_and_step_and_nothing_else() -> None:
    limiter = RateLimiter(CHANNELS, ENVELOPE, period=0.05)
    now = 0.0
    for value in (0.1, 0.2, 0.3):
        now += 0.05
        assert limiter.apply([value, 0.0], now) == ([value, 0.0], "")
    now += 0.05
    (held, _), what = limiter.apply([9.0, 0.0], now)
    assert held == pytest.approx(0.3 + 3.0 * 0.05, abs=1e-5)
    assert "linear.x = 9" in what
    for value in (math.nan, math.inf, -math.inf):
        now += 0.05
        (repeated, _), what = limiter.apply([value, 0.0], now)
        assert repeated == held
        assert what
    for _ in range(20):
        now += 0.05
        (held, _), what = limiter.apply([held + 0.1, 0.0], now)
    assert held == 1.5
    assert "held to 1.5" in what


def test_in_a_stop_the_rate_limiter_gives_a_silence_no_credit_and_the_acceleration_no_say() -> None:
    limiter = RateLimiter(CHANNELS, ENVELOPE, period=0.05, tick=0.02)
    for step in range(10):
        limiter.apply([0.1 * step, 0.0], 0.05 * step)
    (braked, _), what = limiter.apply([0.0, 0.0], 5.0, stopping=True)
    assert braked == pytest.approx(0.9 - 2.0 * 0.02, abs=1e-6)
    assert "held to" in what


SILENCES = (0.021, 0.05, 0.1, 0.4, 3.0)


@pytest.mark.parametrize("silence", SILENCES)
@pytest.mark.parametrize("cause", ["silence", "permit", "condition", "bad command", "second sender", "stall"])
@pytest.mark.parametrize("rate_limit", [True, False], ids=["gate", "nerf"])
def test_no_step_of_a_stop_exceeds_one_tick_of_the_deceleration(
    cause: str, silence: float, rate_limit: bool
) -> None:
    filter_ = make_filter(spec=NerfSpec(name="none"), rate_limit=rate_limit, tick=0.02, timeout=0.5)
    now, sent = 0.0, [0.0]
    for _ in range(20):
        now += 0.05
        permitted(filter_, now)
        output = filter_.command([1.0, 0.0], now, 0.0, "a", None)
        assert output is not None
    assert output.values[0] == pytest.approx(1.0)
    sent = [output.values[0]]
    while now < 1.0 + silence:  # ticks go on while commands pause, unless the process stands still
        now += 0.02 if cause != "stall" else silence
        permitted(filter_, now)
        output = filter_.tick(now, None)
        sent += [] if output is None else [output.values[0]]
    if cause == "permit":
        permitted(filter_, now, stop="because")
    elif cause == "condition":
        filter_.stop_conditions["any"] = "because"
    bad = InvalidCommand("linear.x = nan: must be finite")
    command = {"bad command": (bad, "a"), "second sender": ([1.0, 0.0], "b")}.get(cause)
    outputs = [filter_.command(command[0], now + 0.001, 0.0, command[1], None)] if command else []  # type: ignore[arg-type]
    for _ in range(100):
        now += 0.02
        outputs.append(filter_.tick(now, None))
    sent += [output.values[0] for output in outputs if output is not None]
    assert sent[-1] == 0.0
    assert max(before - after for before, after in pairwise(sent)) <= 2.0 * 0.02 * (1 + 1e-5)
    assert filter_.at_rest


def test_a_stop_without_the_limiter_brakes_a_velocity_and_holds_a_position() -> None:
    joint = Channel("elbow", "position", "rad", False)
    limits = {"min_position": -1.0, "max_position": 1.0, "max_velocity": 2.0}
    hard = ChannelEnvelope(**limits, max_acceleration=20.0, stop_deceleration=20.0)
    envelope = Envelope(channels={**ENVELOPE.channels, "elbow": hard})
    filter_ = CommandFilter(
        NerfSpec(name="none"), [*CHANNELS, joint], envelope, period=0.05, timeout=0.1, rate_limit=True
    )
    now = 0.0
    for _ in range(20):
        now += 0.05
        permitted(filter_, now)
        filter_.command([0.5, 0.0, 0.3], now, 0.0, "a", None)
    speeds = []
    for _ in range(30):
        now += 0.02
        output = filter_.bare_stop(now)
        assert output.values[2] == pytest.approx(0.3)
        speeds.append(output.values[0])
    assert speeds[0] == pytest.approx(0.5 - 2.0 * 0.02, abs=1e-6)
    assert speeds[-1] == 0.0
    assert filter_.at_rest


def test_time_that_stands_or_runs_backwards_moves_nothing_past_the_rate_limiter() -> None:
    limiter = RateLimiter(CHANNELS, ENVELOPE, period=0.05)
    limiter.apply([0.0, 0.0], 10.0)
    for now in (10.0, 9.0, -1e9):
        (held, _), _ = limiter.apply([1.0, 0.0], now)
        assert abs(held) < 1e-6


def test_commands_sent_into_a_stop_trigger_no_further_steps() -> None:
    filter_ = make_filter(spec=NerfSpec(name="none"))
    now = 0.0
    for _ in range(20):
        now += 0.05
        permitted(filter_, now)
        filter_.command([0.4, 0.0], now, 0.0, "a", None)
    outputs = [filter_.command([0.4, 0.0], now + 0.001 * step, 0.0, "b", None) for step in range(1, 30)]
    assert [output is not None for output in outputs] == [True] + [False] * 28
    assert outputs[0] is not None
    assert "second-publisher" in outputs[0].stop
    assert filter_.tick(now + 0.03, None) is not None


@pytest.mark.parametrize("values", [[0.4, 0.0], InvalidCommand("linear.x = nan: must be finite")])
def test_a_stop_that_has_begun_goes_by_the_timer(values: object) -> None:
    filter_ = make_filter(spec=NerfSpec(name="none"))
    permitted(filter_, 0.05)
    filter_.command([0.4, 0.0], 0.05, 0.0, "a", None)
    permitted(filter_, 0.1, stop="because")
    assert filter_.tick(0.1, None) is not None
    assert filter_.command(values, 0.11, 0.0, "a", None) is None  # type: ignore[arg-type]


def test_after_a_stall_nothing_is_accepted_until_a_tick_ends_it() -> None:
    filter_ = make_filter(spec=NerfSpec(name="none"))
    permitted(filter_, 0.05)
    filter_.command([0.4, 0.0], 0.05, 0.0, "a", None)
    filter_.tick(0.06, None)
    permitted(filter_, 0.5)
    filter_.command([0.4, 0.0], 0.5, 0.0, "a", None)  # 0.44 s later
    assert filter_.recovering
    permitted(filter_, 0.6)
    assert filter_.command([0.4, 0.0], 0.55, 0.0, "a", None) is None
    filter_.tick(0.56, None)
    assert not filter_.recovering
    good = filter_.command([0.4, 0.0], 0.57, 0.0, "a", None)
    assert good is not None
    assert good.stop == ""


def effort_filter() -> CommandFilter:
    joints = [Channel(name, "velocity", "rad/s", True) for name in ("shoulder", "elbow")]
    limits = {"max_velocity": 2.0, "max_acceleration": 20.0, "stop_deceleration": 20.0}
    limits |= {"max_effort": 5.0, "holding_effort": 1.5}
    envelope = Envelope(channels={joint.name: ChannelEnvelope(**limits) for joint in joints})
    return CommandFilter(NerfSpec(name="none"), joints, envelope, period=0.05, timeout=0.1)


@pytest.mark.parametrize(
    ("requested", "expected"),
    [((0.0, 0.0), [1.5, 1.5]), ((9.0, 3.0), [5.0, 3.0]), ((math.inf, 2.0), [5.0, 2.0])],
)
def test_an_effort_limit_holds_the_load_and_ends_at_the_envelope(
    requested: tuple[float, ...], expected: list[float]
) -> None:
    assert effort_filter().bound_effort_limit(requested) == expected


@pytest.mark.parametrize("requested", [(math.nan, 1.0), (-1.0, 2.0), (2.0,)])
def test_a_malformed_effort_limit_is_refused(requested: tuple[float, ...]) -> None:
    with pytest.raises(InvalidCommand, match="must be 2 numbers"):
        effort_filter().bound_effort_limit(requested)
