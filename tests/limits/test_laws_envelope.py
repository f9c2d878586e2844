"""The envelope holds, and nothing but finite numbers leaves, after any sequence of calls."""

import math
import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nerfbot.limits import ActuatorLimiter, Limited, Measured, Reason
from tests.limits.cases import DT, HARD
from tests.limits.mixed import ARM, GRIP, WHEEL, limiter, numbers_of_nerfs

COUNT = 2
ODD = [0.0, -0.0, 0.3, 1e9, -1e9, 3e4, 1e308, -1e308, math.inf, -math.inf, math.nan, 5e-324, -1e-310]
STEPS = [0.0, -1.0, -1e300, 1e-320, 1e-12, 1e-9, 1e-6, 0.01, DT, 2 * DT, 0.2, 100.0]
numbers = st.floats(-6.0, 6.0) | st.sampled_from(ODD)
commands = st.lists(numbers, min_size=COUNT * 3, max_size=COUNT * 3)
lifts = st.lists(
    st.floats(0.0, 1.0) | st.sampled_from([*ODD, 7.0, -2.0]), min_size=COUNT * 4, max_size=COUNT * 4
)
measurements = st.none() | st.tuples(commands, commands)
calls = st.tuples(
    st.sampled_from(["apply"] * 6 + ["stop", "reset", "reset some"]),
    commands,
    st.sampled_from([DT] * 6 + STEPS),
    lifts,
    measurements,
)


class Watch:
    """Compares each output with the one before it and with where its robot began."""

    def __init__(self) -> None:
        self.before: np.ndarray | None = None
        self.fresh = np.ones(COUNT, bool)
        self.farthest = np.tile([HARD["min_position"], HARD["max_position"]], (COUNT, 1))
        self.fastest = np.full(COUNT, HARD["max_velocity"])

    def begin(self, robots: np.ndarray, measured: Measured | None) -> None:
        """A robot may begin outside the range, or too fast, where it is measured so; it gets no worse."""
        for robot in np.flatnonzero(robots):
            at, speed = 0.0, 0.0
            if measured is not None:
                at, speed = measured.position[robot, ARM], measured.velocity[robot, ARM]
            at = np.clip(at, -1e9, 1e9) if math.isfinite(at) else 0.0
            speed = np.clip(speed, -1e9, 1e9) if math.isfinite(speed) else 0.0
            self.farthest[robot] = min(HARD["min_position"], at), max(HARD["max_position"], at)
            self.fastest[robot] = max(HARD["max_velocity"], abs(speed))
            self.fresh[robot] = False

    def check(self, out: Limited, elapsed: float, measured: Measured | None) -> None:
        value = out.value
        assert np.isfinite(value).all()
        assert not np.isnan(out.effort_limit).any()
        assert ((out.effort_limit >= 0.0) & (out.effort_limit <= HARD["max_effort"])).all()
        assert (np.abs(value[:, GRIP]) <= HARD["max_effort"]).all()
        assert (np.abs(value[:, WHEEL]) <= HARD["max_velocity"]).all()
        old = ~self.fresh
        self.begin(self.fresh, measured)
        assert (value[:, ARM] >= self.farthest[:, 0]).all()
        assert (value[:, ARM] <= self.farthest[:, 1]).all()
        # A call that time does not advance for brakes by one period; no call counts for more than two.
        dt = min(elapsed, 2 * DT) if elapsed >= 1e-9 else DT
        if self.before is not None and old.any():
            change = np.abs(value - self.before)[old]
            rounding = 1e-12 * (1.0 + np.abs(self.before[old]))
            assert (change[:, WHEEL] <= HARD["max_acceleration"] * dt * (1 + 1e-9) + rounding[:, WHEEL]).all()
            assert (change[:, ARM] <= self.fastest[old] * dt * (1 + 1e-9) + rounding[:, ARM]).all()
        if elapsed < 1e-9 and self.before is not None and old.any():
            assert (np.abs(value[old, WHEEL]) <= np.abs(self.before[old, WHEEL])).all()
        self.before = value.copy()


def shaped(numbers: list[float]) -> np.ndarray:
    return np.reshape(numbers, (COUNT, -1))


def drive(limited: ActuatorLimiter, script: list, always_measured: bool) -> None:
    watch, now, last = Watch(), 10.0, None
    for kind, command, dt, lift, given_measured in script:
        if kind.startswith("reset"):
            mask = np.array([kind == "reset", True])
            limited.reset(mask)
            watch.fresh |= mask
            if kind == "reset":
                last = None
            continue
        measured = None if given_measured is None else Measured(*map(shaped, given_measured))
        if measured is None and always_measured:
            measured = Measured(np.zeros((COUNT, 3)), np.zeros((COUNT, 3)))
        at = now + dt
        elapsed = DT if last is None else at - last
        if kind == "stop":
            out = limited.stop(measured, at)
            assert (out.reasons == Reason.STOP).all()
        else:
            out = limited.apply(shaped(command), measured, at, shaped(lift))
            bad = ~np.isfinite(shaped(command)).all(axis=1)
            if measured is not None:
                bad |= ~(np.isfinite(measured.position) & np.isfinite(measured.velocity)).all(axis=1)
            if elapsed < 1e-9:
                assert (out.reasons == Reason.TIME | Reason.STOP).all()
            else:
                assert ((out.reasons & Reason.INVALID > 0) == bad[:, None]).all()
                assert ((out.reasons & Reason.STOP > 0) == bad[:, None]).all()
        watch.check(out, elapsed, measured)
        if elapsed >= 1e-9:
            now = last = at


@settings(max_examples=150)
@given(numbers_of_nerfs, st.lists(calls, min_size=5, max_size=25))
def test_the_envelope_holds_and_nothing_but_finite_numbers_leaves_after_any_calls(number, script):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Nerfs 1 and 2 have limits that depend on a measurement, as has 5.
        drive(limiter(number, COUNT), script, always_measured=number in (1, 2, 5))


@given(st.lists(numbers, min_size=1, max_size=60))
def test_a_position_alone_without_measurements_never_leaves_the_range(stream):
    from tests.limits.cases import levels, row
    from tests.limits.cases import limiter as single

    limited = single("position")
    for k, command in enumerate(stream):
        out = limited.apply(row(command), None, k * DT, levels(1)).value[0, 0]
        assert HARD["min_position"] <= out <= HARD["max_position"]


@given(
    st.lists(st.tuples(st.floats(-9, 9), st.sampled_from([0.01, DT, 0.03, 2 * DT])), min_size=2, max_size=60)
)
def test_a_position_keeps_its_acceleration_too_while_the_step_does_not_grow(stream):
    from tests.limits.cases import Drive
    from tests.limits.cases import limiter as single

    drive_, before, speed, last_dt = Drive(single("position")), 0.0, 0.0, math.inf
    for command, dt in sorted(stream, key=lambda item: -item[1]):
        drive_.now += dt
        out = drive_.limiter.apply([[command]], None, drive_.now, np.zeros((1, 4))).value[0, 0]
        if last_dt < math.inf:
            after = (out - before) / dt
            assert abs(after - speed) <= HARD["max_acceleration"] * dt * (1 + 1e-6) + 1e-9
            speed = after
        before, last_dt = out, dt
