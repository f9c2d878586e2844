"""The actuator limiter: one call turns a requested command into one that the nerf and the envelope allow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nerfbot.errors import InvalidCommand, InvalidSpec
from nerfbot.limits import kernel
from nerfbot.limits.batch import as_mask, as_seeds, first_seeds
from nerfbot.limits.bursts import BurstProcess
from nerfbot.limits.channel import AXES, Channel, Floats, Limited, Measured, MotionLimits, Reason
from nerfbot.limits.enforcement import (
    command_enforcement,
    enforcement,
    needs_velocity,
    require_enforceable,
    require_enforceable_envelope,
)
from nerfbot.limits.envelope import Envelope
from nerfbot.limits.fields import CHANNEL_BURSTS, COMMAND_FIELDS
from nerfbot.limits.link import CommandLink
from nerfbot.limits.spec import NerfSpec
from nerfbot.limits.streams import mix
from nerfbot.limits.table import LimitTable

_HUGE = 1e9  # commands and measurements are clamped to it, so that no later arithmetic overflows
_LEAST_STEP = 1e-9  # s; less than that counts as time standing still
_NEXT_EPISODE = np.uint64(0xD1B54A32D192ED03)
_RANGE = (kernel.MIN_POSITION, kernel.MAX_POSITION)
_MODES = {"position": kernel.POSITION_MODE, "velocity": kernel.VELOCITY_MODE, "effort": kernel.EFFORT_MODE}


def joint_reasons(steps: Sequence[Limited]) -> NDArray[np.uint16]:
    """Return the reasons (count, channels) of several steps under one command.

    A fault counts whenever it acts; a bound on the motion only while it acts at the end: a command that is
    reached within its period has been executed.
    """
    reasons = steps[0].reasons
    for step in steps[1:]:
        reasons = kernel.together(reasons, step.reasons)
    return reasons


class ActuatorLimiter:
    """Limits the commands of ``count`` robots with the same channels.

    The order is fixed: validate, reliability, speed, strength, envelope. The same seeds replay the same
    output bit for bit. Robots are independent: resetting one changes nothing for the others.

    ``period`` is the nominal control period (s): the step of the first call, and half of the longest step
    that any limit is given credit for after a pause. ``allow`` names limits that may stay unenforced
    (``"angular.z.effort"``).

    Raises `InvalidSpec` where an entry matches no channel, a limit lies outside the envelope or is not
    enforceable, or no envelope is given at all.
    """

    def __init__(
        self,
        spec: NerfSpec,
        channels: Sequence[Channel],
        count: int = 1,
        seed: int = 0,
        envelope: Envelope | None = None,
        period: float = 0.05,
        allow: Sequence[str] = (),
    ) -> None:
        envelope = envelope or spec.envelope
        if envelope is None:
            raise InvalidSpec(f"{spec.name}: envelope: is required, from the nerf or from the machine")
        seeds = first_seeds(seed, count)
        if not (math.isfinite(period) and period > 0.0):
            raise InvalidCommand(f"period must be above 0 s, got {period!r}")
        self.spec, self.channels, self.count, self.envelope = spec, tuple(channels), count, envelope
        spec.check_names([channel.name for channel in self.channels])
        spec.check_envelope(self.channels, envelope)
        self.report = enforcement(spec, self.channels, envelope)
        require_enforceable(self.report, allow)
        self.report += command_enforcement(spec, period)
        require_enforceable_envelope(envelope, self.channels, allow)
        modes = {channel.name: channel for channel in self.channels}
        self._measured_for = [
            item.name
            for item in self.report
            if item.channel in modes and not item.problem and needs_velocity(item.field, modes[item.channel])
        ]

        self._period, self._max_dt = period, 2.0 * period
        self._shape = (count, len(self.channels))
        self._block_shape = (2, *self._shape)
        self._robots = np.arange(count)
        self._seeds = seeds
        self._last: float | None = None
        self._last_dt = period
        self._lift, self._lift_bytes = np.zeros((count, len(AXES))), b""
        self._zeros = self._request = np.zeros(self._shape)
        self._mode = np.array([_MODES[channel.mode] for channel in self.channels])
        capped = np.array([channel.effort_limit for channel in self.channels])
        bounds_speed = np.array([channel.velocity_limit for channel in self.channels])
        self._is_position = self._mode == kernel.POSITION_MODE
        self._cells = kernel.blank(*self._shape)
        self._changed = self._robots.copy()
        self._fresh, self._any_fresh = np.ones(count, bool), True
        self._nobody = np.zeros(count, bool)
        self._hard = _hard_limits(self.channels, envelope)
        # What the kernel is told of the robots in every step, and the state that it keeps
        self._plant = (self._hard, self._mode, capped, bounds_speed, self._fresh, self._cells)
        stated = np.abs(self._hard) < kernel.UNLIMITED
        by_position = stated[:, [kernel.MIN_POSITION, kernel.MAX_POSITION]].any(axis=1)
        by_speed = stated[:, kernel.MAX_VELOCITY] & (self._mode == kernel.EFFORT_MODE)
        self._guards_motion = bool((by_speed | (by_position & ~self._is_position)).any())
        sections = [(item.name, spec.channel(item.name, envelope.find(item.name))) for item in self.channels]
        self._limits = LimitTable(sections, kernel.FIELDS, self._seeds)
        self._burst_limits = LimitTable(sections, CHANNEL_BURSTS, self._seeds)
        self._link_limits = LimitTable([("command", spec.link())], COMMAND_FIELDS, self._seeds)
        self._link: CommandLink | None = None
        if self._link_limits.declared & {"latency", "jitter"}:
            self._link = CommandLink(self._link_limits, self._seeds, len(self.channels))
        bursts = [section.hold for _, section in sections] + [section.intermittent for _, section in sections]
        bursts.append(spec.command.drop)
        self._bursts: BurstProcess | None = None
        self._faults = np.zeros((len(bursts), count), bool)
        if any(bursts):
            drawn = np.array([burst is None or burst.spread == "exponential" for burst in bursts])
            self._bursts = BurstProcess("faults", self._seeds, drawn)
            self._faults = self._bursts.active_by_unit
        self._begin(self._robots)

    def reset(self, mask: ArrayLike | None = None, seeds: ArrayLike | None = None) -> None:
        """Start a new episode for the robots in ``mask`` (count,) bool, all by default.

        ``seeds``: one a masked robot; by default each goes on to the next of its own sequence. Randomised
        limits are drawn anew, messages under way are lost, faults end. Raises `InvalidCommand` for a
        wrong shape.
        """
        robots = self._robots if mask is None else np.flatnonzero(as_mask(mask, self.count))
        following = mix(self._seeds[robots] + _NEXT_EPISODE)
        self._seeds[robots] = following if seeds is None else as_seeds(seeds, robots)
        self._begin(robots)

    def apply(self, command: ArrayLike, measured: Measured | None, now: float, lift: ArrayLike) -> Limited:
        """Limit ``command`` (count, channels), in the channels' units, at time ``now`` (s).

        ``measured`` as the plant reports it, each (count, channels); ``lift`` (count, 4), levels in [0, 1]
        in the order of `AXES` (a level that is not finite counts as 0, others are clamped).

        A robot whose command or measurement is not finite makes a controlled stop (reason INVALID); when
        time does not advance all robots do (reason TIME), whatever the command. Raises
        `InvalidCommand` for a wrong shape, a ``now`` that is not finite, or a measurement that is missing
        though a declared limit depends on it.
        """
        self._request = self._array(command, "command", self._shape).copy()
        return self._step(measured, now, lift, sends=True)

    def advance(self, measured: Measured | None, now: float, lift: ArrayLike) -> Limited:
        """Make one more step under the command of the last `apply`, which is not sent again.

        For a plant that steps finer than it is commanded. Arguments and errors as there; also
        `InvalidCommand` where a robot has not been commanded since its `reset`.
        """
        if self._any_fresh:
            raise InvalidCommand("advance needs a command since the last reset: call apply first")
        return self._step(measured, now, lift, sends=False)

    def run(
        self, command: ArrayLike, measured: Measured | None, now: float, lift: ArrayLike, steps: int
    ) -> Limited:
        """`apply`, then ``steps`` - 1 times `advance`, each a nominal period later, in one call.

        Values and effort limits of the result have the steps in front: (steps, count, channels); the reasons
        are `joint_reasons`. The measurements are those of the first step, so that no limit may depend on the
        motion meanwhile (`reads_motion`).
        """
        if not steps >= 1:
            raise InvalidCommand(f"steps must be at least 1, got {steps!r}")
        request = self._array(command, "command", self._shape)
        position, velocity, known = self._measure(measured)
        period = self._period
        elapsed = period if self._last is None else now - self._last
        usual = math.isfinite(now) and elapsed >= _LEAST_STEP and not self._any_fresh
        usual = usual and (known[1] or not self._measured_for)
        usual = usual and kernel.all_modest(request, position, velocity, _HUGE)
        if usual:
            lift = self._array(lift, "lift", self._lift.shape)
            if lift.tobytes() != self._lift_bytes:
                self._set_lift(lift)
            usual = self._bursts is None or self._bursts.pass_quietly(elapsed, period, steps)
        if not usual:
            limited = [self.apply(request, measured, now, lift)]
            limited += [self.advance(measured, now + k * period, lift) for k in range(1, steps)]
            values = np.stack([step.value for step in limited])
            efforts = np.stack([step.effort_limit for step in limited])
            return Limited(values, efforts, joint_reasons(limited))
        self._request = request.copy()
        arrived = request[None]
        if self._link is not None:
            arrived = self._link.send_ahead(request, now, period, steps)
        block = np.empty((2, steps, *self._shape))
        reasons = np.empty(self._shape, np.uint16)
        self._dt = min(elapsed, self._max_dt)
        kernel.limit_ahead(
            arrived,
            request,
            self._faults,
            position,
            velocity,
            known,
            self._nobody,
            self._dt,
            self._dt / self._last_dt,
            period,
            *self._plant,
            block[0],
            block[1],
            reasons,
        )
        self._last = now + (steps - 1) * period
        self._last_dt = period if steps > 1 else self._dt
        return Limited(block[0], block[1], reasons)

    def stop(self, measured: Measured | None, now: float, longest: float = math.inf) -> Limited:
        """Make one step of a controlled stop of all robots, by their channels' modes.

        Enters after all impairments: nothing delays or weakens it. Messages under way are lost. ``longest``
        is the longest time (s) that the step takes credit for, however long the last call is ago.
        """
        position, velocity, known = self._measure(measured)
        position, _ = self._finite(position, None)
        velocity, _ = self._finite(velocity, None)
        elapsed = self._pass_time(now, longest)
        if self._bursts is not None:
            self._bursts.step(elapsed)
        return self._stop(position, velocity, known, Reason.STOP)

    def limits(self, field: str) -> Floats:
        """Return the effective limit ``field`` now, (count, channels); KeyError if none is declared."""
        table = self._burst_limits if field in CHANNEL_BURSTS else self._limits
        if field not in table.declared:
            raise KeyError(field)
        return table[field].copy()

    def motion_limits(self) -> MotionLimits:
        """Return how the channels may move now: of nerf and envelope the tighter.

        Where the nerf states no deceleration, a stop's is allowed, and as much as the acceleration.
        """
        hard = self._hard
        acceleration = np.minimum(self._limits["acceleration"], hard[:, kernel.MAX_ACCELERATION])
        deceleration, stop = self._limits["deceleration"], hard[:, kernel.STOP_DECELERATION]
        unstated = np.maximum(acceleration, np.where(stop < kernel.UNLIMITED, stop, 0.0))
        ranges = (np.tile(hard[:, column], (self.count, 1)) for column in _RANGE)
        return MotionLimits(
            np.minimum(self._limits["velocity"], hard[:, kernel.MAX_VELOCITY]),
            acceleration,
            np.where(deceleration < kernel.UNLIMITED, deceleration, unstated),
            *ranges,
        )

    @property
    def reads_motion(self) -> bool:
        """Whether a limit depends on the measured motion: it is then only as fine as the calls."""
        return bool(self._measured_for) or self._guards_motion

    def _step(self, measured: Measured | None, now: float, lift: ArrayLike, sends: bool) -> Limited:
        request = self._request
        lift = self._array(lift, "lift", self._lift.shape)
        position, velocity, known = self._measure(measured)
        if self._measured_for and not known[1]:
            raise InvalidCommand(f"measured.velocity is required by {self._measured_for[0]}, got None")
        elapsed = self._pass_time(now)
        bad: NDArray[np.bool_] | None = None
        if not kernel.all_modest(request, position, velocity, _HUGE):
            position, bad = self._finite(position, bad)
            velocity, bad = self._finite(velocity, bad)
            request, bad = self._finite(request, bad)
        if lift.tobytes() != self._lift_bytes:
            self._set_lift(lift)
        if elapsed == 0.0:
            return self._stop(position, velocity, known, Reason.TIME | Reason.STOP)
        if self._bursts is not None:
            self._bursts.step(elapsed)
        arrived = request
        if self._link is not None:
            if self._any_fresh:
                fresh = np.flatnonzero(self._fresh)
                rest = position if known[0] else request
                self._link.begin(fresh, np.where(self._is_position, rest, 0.0)[fresh])
            arrived = self._link.send(request, now) if sends else self._link.receive(now)
        stopping = self._nobody if bad is None else bad
        limited = self._limit(arrived, request, position, velocity, known, stopping)
        if bad is not None:
            limited.reasons[bad] = Reason.INVALID | Reason.STOP
        return limited

    def _begin(self, robots: NDArray[np.intp]) -> None:
        seeds = self._seeds[robots]
        self._fresh[robots] = True
        self._any_fresh = True
        if len(robots) == self.count:
            self._last = None
        self._limits.redraw(robots, seeds)
        self._burst_limits.redraw(robots, seeds)
        self._link_limits.redraw(robots, seeds)
        if self._link is not None:
            self._link.reset(robots, seeds)
        if self._bursts is not None:
            self._bursts.reset(robots, seeds)
        self._update(robots)

    def _update(self, robots: NDArray[np.intp]) -> None:
        lift = self._lift[robots]
        self._limits.update(robots, lift)
        kernel.place(self._limits.values, robots, self._cells)
        self._burst_limits.update(robots, lift)
        self._link_limits.update(robots, lift)
        if self._bursts is not None:
            first_unit = 0
            for limits, burst in (
                (self._burst_limits, "hold"),
                (self._burst_limits, "intermittent"),
                (self._link_limits, "drop"),
            ):
                rate, duration = limits[f"{burst}.rate"], limits[f"{burst}.duration"]
                self._bursts.set(robots, rate[robots], duration[robots], first_unit)
                first_unit += rate.shape[1]

    def _set_lift(self, lift: Floats) -> None:
        self._lift_bytes = lift.tobytes()
        changed = kernel.update_levels(lift, self._lift, self._changed)
        if changed:
            self._update(self._changed[:changed])

    def _pass_time(self, now: float, longest: float = math.inf) -> float:
        """Set the step and return the time since the last call, s.

        It is 0 when time stands still or runs backwards; the step is the nominal period then.
        """
        if not math.isfinite(now):
            raise InvalidCommand(f"now must be a finite time in s, got {now!r}")
        elapsed = self._period if self._last is None else now - self._last
        if elapsed < _LEAST_STEP:
            self._dt = min(self._period, longest)
            return 0.0
        self._last = now
        self._dt = min(elapsed, self._max_dt, longest)
        return elapsed

    def _stop(self, position: Floats, velocity: Floats, known: tuple[bool, bool], reason: Reason) -> Limited:
        executed = kernel.executed(self._cells, self.count)
        limited = self._limit(executed, executed, position, velocity, known, ~self._nobody)
        if self._link is not None:
            rest = np.where(self._is_position, limited.value, 0.0)
            self._link.begin(self._robots, rest)
        limited.reasons[...] = reason
        return limited

    def _limit(
        self,
        command: Floats,
        sent: Floats,
        position: Floats,
        velocity: Floats,
        known: tuple[bool, bool],
        stopping: NDArray,
    ) -> Limited:
        # One allocation: two large ones would be returned to the system and mapped again in every call.
        block = np.empty(self._block_shape)
        value, effort_limit = block[0], block[1]
        reasons = np.empty(self._shape, np.uint16)
        kernel.limit(
            command,
            sent,
            self._faults,
            position,
            velocity,
            known,
            stopping,
            self._dt,
            self._dt / self._last_dt,
            *self._plant,
            value,
            effort_limit,
            reasons,
        )
        self._last_dt = self._dt
        self._any_fresh = False
        return Limited(value, effort_limit, reasons)

    def _array(self, given: ArrayLike, name: str, shape: tuple[int, ...]) -> Floats:
        try:
            array = np.ascontiguousarray(given, np.float64)
        except (TypeError, ValueError):
            raise InvalidCommand(
                f"{name} must be numbers of shape {shape}, got {type(given).__name__}"
            ) from None
        if array.shape != shape:
            raise InvalidCommand(f"{name} must have shape {shape}, got {np.shape(given)}")
        return array

    def _measure(self, measured: Measured | None) -> tuple[Floats, Floats, tuple[bool, bool]]:
        """Return position and velocity, and which of them is known; their numbers may be anything."""
        position = velocity = self._zeros
        if measured is None:
            return position, velocity, (False, False)
        if measured.position is not None:
            position = self._array(measured.position, "measured.position", self._shape)
        if measured.velocity is not None:
            velocity = self._array(measured.velocity, "measured.velocity", self._shape)
        return position, velocity, (measured.position is not None, measured.velocity is not None)

    def _finite(
        self, array: Floats, bad: NDArray[np.bool_] | None
    ) -> tuple[Floats, NDArray[np.bool_] | None]:
        """Return ``array`` with finite numbers of bounded size, and ``bad`` with the robots that had others.

        What is not finite becomes the last executed command (a position) or zero.
        """
        if kernel.modest(array, _HUGE):
            return array, bad
        finite = np.isfinite(array)
        rows = np.logical_not(finite.all(axis=1))
        if rows.any():
            bad = np.asarray(rows if bad is None else rows | bad)
            executed = kernel.executed(self._cells, self.count)
            held = np.clip(executed, *self._hard[:, [kernel.LOW, kernel.HIGH]].T)
            rest = np.where(self._is_position, held, 0.0)
            array = np.where(finite, array, rest)
        return np.clip(array, -_HUGE, _HUGE), bad


def _hard_limits(channels: Sequence[Channel], envelope: Envelope) -> Floats:
    """Return the envelope as an array (channels, ENVELOPES), in the order of the kernel's columns."""
    table = np.full((len(channels), kernel.ENVELOPES), kernel.UNLIMITED)
    table[:, [kernel.LOW, kernel.MIN_VELOCITY, kernel.MIN_POSITION]] *= -1.0
    table[:, kernel.DAMPING] = 0.0
    for row, channel in enumerate(channels):
        limits = envelope.channel(channel)
        low, high = limits.range(channel.mode)
        stated = {
            kernel.LOW: low,
            kernel.HIGH: high,
            kernel.MIN_VELOCITY: limits.range("velocity")[0],
            kernel.MAX_VELOCITY: limits.max_velocity,
            kernel.MAX_ACCELERATION: limits.max_acceleration,
            kernel.STOP_DECELERATION: limits.stop_deceleration,
            kernel.MAX_EFFORT: limits.max_effort,
            kernel.DAMPING: limits.damping,
            kernel.MIN_POSITION: limits.min_position,
            kernel.MAX_POSITION: limits.max_position,
        }
        for column, value in stated.items():
            if value is not None:
                table[row, column] = value
    return table
