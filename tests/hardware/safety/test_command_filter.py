"""One link of the chain without ROS: the bare limiter's commands, and stops by its own clock."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nerfbot.errors import InvalidCommand
from nerfbot.hardware.safety.command_filter import CommandChain
from nerfbot.hardware.safety.permit import PermitSource
from nerfbot.hardware.safety.rate_limit import LastClamp
from nerfbot.limits import ActuatorLimiter, Channel, NerfSpec

MEASURES = frozenset({"velocity"})
CHANNELS = (
    Channel("linear.x", "velocity", "m/s", True, MEASURES),
    Channel("angular.z", "velocity", "rad/s", True, MEASURES),
)
SPEC = NerfSpec.load("rover-weak")
assert SPEC.envelope is not None
ENVELOPE = SPEC.envelope


def chain(**more: object) -> CommandChain:
    settings: dict = {"period": 0.05, "timeout": 0.1, "seed": 3, **more}
    return CommandChain(settings.pop("spec", SPEC), CHANNELS, ENVELOPE, **settings)


def permitted(link: CommandChain, now: float, levels: tuple[float, ...] = (0.0,) * 4, stop: str = "") -> None:
    source = link.__dict__.setdefault("source", PermitSource(0.3))
    link.permit.take(source.next(levels, stop, now=now).encode(), 1, now)


def trace(steps: int) -> np.ndarray:
    return np.random.default_rng(0).uniform([-2.0, -4.0], [2.0, 4.0], (steps, 2))


def test_in_simulated_time_it_gives_what_the_bare_limiter_gives_bit_for_bit() -> None:
    link = chain(stamps_are_time=True)
    bare = ActuatorLimiter(SPEC, CHANNELS, seed=3, envelope=ENVELOPE, period=0.05)
    bare.reset(seeds=[3])
    permitted(link, 1000.0)
    link.tick(1000.0, None)
    for step, command in enumerate(trace(400)):
        now, stamp = 1000.0 + 0.011 * step, 1.0 + 0.05 * step
        levels = (0.0, 1.0, 0.0, 0.5) if 100 <= step < 200 else (0.0,) * 4
        permitted(link, now, levels)
        output = link.command(command.tolist(), now, stamp, "a", None)
        limited = bare.apply(command[None], None, stamp, np.array([levels]))
        assert output is not None
        assert output.values == limited.value[0].tolist()
        assert output.effort_limit == limited.effort_limit[0].tolist()


def test_a_simulation_slower_than_the_stop_goes_on_where_it_was() -> None:
    link = chain(stamps_are_time=True, spec=NerfSpec(name="none"))
    now = 1000.0
    for step in range(20):
        now += 0.05
        permitted(link, now)
        link.command([0.4, 0.0], now, 1.0 + 0.05 * step, "a", None)
    for _ in range(100):
        now += 0.02
        link.tick(now, None)
    for step in range(20, 60):
        now += 0.05
        permitted(link, now)
        output = link.command([0.4, 0.0], now, 1.0 + 0.05 * step, "a", None)
    assert output is not None
    assert output.values[0] == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["inactive", "second-publisher"])
def test_a_condition_stops_whatever_is_commanded(name: str) -> None:
    link = chain(spec=NerfSpec(name="none"))
    for step in range(10):
        permitted(link, 0.05 * step)
        link.command([0.4, 0.0], 0.05 * step, 0.0, "a", None)
    link.conditions[name] = "told so"
    for step in range(10, 20):
        permitted(link, 0.05 * step)
        link.command([0.4, 0.0], 0.05 * step, 0.0, "a", None)
        output = link.tick(0.05 * step + 0.02, None)
    assert output is not None
    assert output.values == [0.0, 0.0]
    assert output.stop == f"{name}: told so"


def test_a_bad_command_stops_at_once_and_the_next_good_one_is_followed() -> None:
    link = chain(spec=NerfSpec(name="none"))
    for step in range(10):
        permitted(link, 0.05 * step)
        link.command([0.4, 0.0], 0.05 * step, 0.0, "a", None)
    stop = link.command(InvalidCommand("linear.x = nan: must be finite"), 0.5, 0.0, "a", None)
    assert stop is not None
    assert stop.values[0] < 0.4
    assert "linear.x = nan" in stop.stop
    permitted(link, 0.55)
    good = link.command([0.4, 0.0], 0.55, 0.0, "a", None)
    assert good is not None
    assert good.stop == ""


def test_the_last_clamp_bounds_range_and_step_and_nothing_else() -> None:
    clamp = LastClamp(CHANNELS, ENVELOPE, period=0.05)
    now = 0.0
    for value in (0.1, 0.2, 0.3):
        now += 0.05
        assert clamp.apply([value, 0.0], now) == ([value, 0.0], "")
    now += 0.05
    (held, _), what = clamp.apply([9.0, 0.0], now)
    assert held == pytest.approx(0.3 + 3.0 * 0.05, abs=1e-5)
    assert "linear.x = 9" in what
    for value in (math.nan, math.inf, -math.inf):
        now += 0.05
        (kept, _), what = clamp.apply([value, 0.0], now)
        assert kept == held
        assert what
    for _ in range(20):
        now += 0.05
        (held, _), what = clamp.apply([held + 0.1, 0.0], now)
    assert held == 1.5
    assert "held to 1.5" in what


def test_time_that_stands_or_runs_backwards_moves_nothing_past_the_last_clamp() -> None:
    clamp = LastClamp(CHANNELS, ENVELOPE, period=0.05)
    clamp.apply([0.0, 0.0], 10.0)
    for now in (10.0, 9.0, -1e9):
        (held, _), _ = clamp.apply([1.0, 0.0], now)
        assert abs(held) < 1e-6


def test_who_sends_more_into_a_stop_gets_no_more_steps_of_it() -> None:
    link = chain(spec=NerfSpec(name="none"))
    now = 0.0
    for _ in range(20):
        now += 0.05
        permitted(link, now)
        link.command([0.4, 0.0], now, 0.0, "a", None)
    told = [link.command([0.4, 0.0], now + 0.001 * step, 0.0, "b", None) for step in range(1, 30)]
    assert [output is not None for output in told] == [True] + [False] * 28
    assert told[0] is not None
    assert "second-publisher" in told[0].stop
    assert link.tick(now + 0.03, None) is not None


@pytest.mark.parametrize("values", [[0.4, 0.0], InvalidCommand("linear.x = nan: must be finite")])
def test_a_stop_that_has_begun_goes_by_the_timer(values: object) -> None:
    link = chain(spec=NerfSpec(name="none"))
    permitted(link, 0.05)
    link.command([0.4, 0.0], 0.05, 0.0, "a", None)
    permitted(link, 0.1, stop="told so")
    assert link.tick(0.1, None) is not None
    assert link.command(values, 0.11, 0.0, "a", None) is None  # type: ignore[arg-type]


def test_after_standing_still_nothing_is_taken_until_a_tick_says_so() -> None:
    link = chain(spec=NerfSpec(name="none"))
    permitted(link, 0.05)
    link.command([0.4, 0.0], 0.05, 0.0, "a", None)
    link.tick(0.06, None)
    permitted(link, 0.5)
    link.command([0.4, 0.0], 0.5, 0.0, "a", None)  # 0.44 s later
    assert link.settling
    permitted(link, 0.6)
    assert link.command([0.4, 0.0], 0.55, 0.0, "a", None) is None
    link.tick(0.56, None)
    assert not link.settling
    good = link.command([0.4, 0.0], 0.57, 0.0, "a", None)
    assert good is not None
    assert good.stop == ""
