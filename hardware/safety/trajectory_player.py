"""Follows a whole joint trajectory through a `CommandFilter`; scaled in time, or refused. No ROS."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from nerfbot.errors import InvalidCommand
from nerfbot.limits import Measured
from nerfbot.limits.channel import Floats

from .command_filter import CommandFilter, FilteredCommand
from .trajectory import Trajectory

CHOICES = ("scale", "refuse")
"""What becomes of a trajectory that the nerf cannot follow in time."""

SETTLE_WITHIN = 10.0
"""s after its end within which the limited command must have reached it: the longest latency of a nerf."""

SUCCEEDED, INVALID, REPLACED = 0, -1, -6
PATH_TOLERANCE, GOAL_TOLERANCE, STOPPED = -4, -5, -7
"""How a trajectory ended. The numbers from 0 to -5 are those of control_msgs/FollowJointTrajectory."""


class Tolerances(NamedTuple):
    """Largest differences of the measured from the wanted position on the path and at the goal, (channels,).

    In the channels' unit; infinite: any. ``goal_time``: how much later it may arrive, s.
    """

    path: Floats
    goal: Floats
    goal_time: float = 0.0


class Progress(NamedTuple):
    """Where a trajectory is: wanted and measured positions (channels,), NaN where none is measured."""

    time: float
    wanted: Floats
    measured: Floats


class TrajectoryPlayer:
    """At most one trajectory under way; ``choice``: one of `CHOICES`."""

    def __init__(self, filter_: CommandFilter, choice: str) -> None:
        self._filter, self._choice = filter_, choice
        self._trajectory: Trajectory | None = None
        self._sent = self._stamp = 0.0  # stamps of its message, and of the last command made of it
        self.source: object = None
        """Who sent the trajectory that is under way."""
        self.progress: Progress | None = None
        self.outcome = ""
        """How the last trajectory ended, or why it was refused."""

    @property
    def is_playing(self) -> bool:
        """Whether a trajectory is under way."""
        return self._trajectory is not None

    def start(
        self,
        points: Mapping[str, Floats],
        tolerances: Tolerances,
        now: float,
        time: float,
        stamp: float,
        source: object,
        measured: Measured | None,
        on_end: Callable[[int, str], None] = lambda code, text: None,
    ) -> None:
        """Begin to follow ``points`` (see `trajectory_points`) at ``now`` and ``time`` (s, as in `step`).

        ``stamp``, ``source``: of the message, as for `CommandFilter.command`; ``on_end`` gets how it ended.
        Raises `InvalidCommand` with what is wrong; then whatever was under way goes on.
        """
        try:
            trajectory = self._checked(points, now, measured)
            stream = self._filter.stream
            if stream.is_another(source) and not stream.is_stale(now):
                raise InvalidCommand("another sender's commands are being followed")
            if self.is_playing:
                if 0.0 < stamp <= self._sent:
                    raise InvalidCommand(f"stamp = {stamp:g}: the same as the one under way, or older")
                stream.reset()  # its stamps have stood still meanwhile
            if problem := stream.accept(now, stamp, source):
                raise InvalidCommand(problem)
        except InvalidCommand as error:
            self.outcome = f"refused: {error}"
            raise
        self.end(REPLACED, "replaced by another trajectory")
        self._trajectory, self._tolerances, self._on_end = trajectory, tolerances, on_end
        self.source, self._sent, self._stamp = source, stamp, stamp
        self._last, self._at, self._over = time, 0.0, 0.0
        self.outcome = "under way"

    def step(self, now: float, time: float, measured: Measured | None) -> FilteredCommand | None:
        """The next limited command at ``now`` (s, steady); ``time`` (s) is the clock of the trajectory."""
        trajectory = self._trajectory
        if trajectory is None:
            return None
        elapsed, self._last = max(time - self._last, 0.0), time
        slowdown = trajectory.slowdown(*self._limits())
        if self._choice == "refuse" and slowdown > 1.0 + 1e-6:
            self.end(INVALID, f"the nerf has tightened: it would take {slowdown:.3g} times as long")
            return None
        self._at += elapsed / slowdown
        wanted = trajectory.sample(self._at)
        if self._stamp > 0.0:
            # The stream sees a new message; those of a simulation are its time
            self._stamp = time if self._filter.stamps_are_time else self._stamp + 1e-6
        output = self._filter.command(wanted.tolist(), now, self._stamp, self.source, measured)
        if output is None or output.stop:
            self.end(STOPPED, f"stopped: {self._filter.stop_reason(now) or self._filter.refusal}")
            return output
        position = measured.position[0] if measured is not None and measured.position is not None else None
        found = np.full(len(wanted), math.nan) if position is None else position
        self.progress = Progress(self._at, wanted, found)
        if self._at < trajectory.duration:
            self._check(PATH_TOLERANCE, "path", found, wanted, self._tolerances.path)
        else:
            self._over += elapsed
            self._finish(found, trajectory.end, output)
        return output

    def end(self, code: int, text: str) -> None:
        """End the trajectory that is under way, if there is one."""
        if self._trajectory is not None:
            self._trajectory, self.progress, self.outcome = None, None, text
            self._filter.refusal = text
            self._on_end(code, text)

    def release(self) -> None:
        """End it for a streamed command of its own sender, which follows."""
        self.end(REPLACED, "replaced by a command")
        self._filter.stream.reset()

    def _checked(self, points: Mapping[str, Floats], now: float, measured: Measured | None) -> Trajectory:
        channels, limiter = self._filter.channels, self._filter.limiter
        if any(channel.mode != "position" for channel in channels):
            raise InvalidCommand("points: whole trajectories are for joints commanded by position")
        if "positions" not in points:
            raise InvalidCommand("points: positions are required")
        held = self._filter.held_reason(now)
        if held:
            raise InvalidCommand(f"stopped: {held}")
        if measured is None or measured.position is None:
            raise InvalidCommand("no position is measured, from which it could begin")
        for column, channel in enumerate(channels):
            low, high = limiter.envelope.channel(channel).range("position")
            for value in points["positions"][:, column]:
                if (low is not None and value < low) or (high is not None and value > high):
                    raise InvalidCommand(f"positions[{channel.name}] = {value:g}: beyond {low} to {high}")
        trajectory = Trajectory(points, measured.position[0])
        efforts = self._limit("effort", "max_effort")
        for row, column in np.argwhere(np.abs(points.get("effort", np.zeros((1, len(channels))))) > efforts):
            effort, name = points["effort"][row, column], channels[column].name
            raise InvalidCommand(f"effort[{name}] = {effort:g}: the limit is {efforts[column]:g}")
        slowdown = trajectory.slowdown(*self._limits())
        if self._choice == "refuse" and slowdown > 1.0 + 1e-6:
            raise InvalidCommand(
                f"the nerf would take {slowdown:.3g} times as long ({self._worst(trajectory)})"
            )
        return trajectory

    def _limits(self) -> tuple[Floats, Floats]:
        acceleration = np.minimum(
            self._limit("acceleration", "max_acceleration"), self._limit("deceleration", "stop_deceleration")
        )
        return self._limit("velocity", "max_velocity"), acceleration

    def _limit(self, field: str, hard: str) -> Floats:
        """The nerf's limit now, or the envelope's where that is tighter, (channels,)."""
        limiter = self._filter.limiter
        bounds = [getattr(limiter.envelope.channel(channel), hard) for channel in self._filter.channels]
        bound = np.array([math.inf if item is None else item for item in bounds])
        try:
            return np.minimum(limiter.limits(field)[0], bound)
        except KeyError:  # the nerf does not limit it
            return bound

    def _worst(self, trajectory: Trajectory) -> str:
        """The limit that slows it down most."""
        velocity, acceleration = self._limits()
        texts = []
        for what, peaks, limits, power in (
            ("velocity", trajectory.peak_velocity, velocity, 1.0),
            ("acceleration", trajectory.peak_acceleration, acceleration, 0.5),
        ):
            for channel, peak, limit in zip(self._filter.channels, peaks, limits, strict=True):
                text = f"{what}[{channel.name}] = {peak:.3g}, the limit is {limit:.3g}"
                texts.append(((peak / limit) ** power, text))
        return max(texts)[1]

    def _check(self, code: int, what: str, found: Floats, wanted: Floats, tolerance: Floats) -> bool:
        """Whether every position is within its tolerance; ends the trajectory where not (NaN is not)."""
        bad = np.flatnonzero(~(np.abs(found - wanted) <= tolerance) & np.isfinite(tolerance))
        if len(bad):
            name, off = self._filter.channels[bad[0]].name, abs(found[bad[0]] - wanted[bad[0]])
            self.end(code, f"{what} tolerance: {name} is off by {off:.4g}, allowed {tolerance[bad[0]]:g}")
        return not len(bad)

    def _finish(self, found: Floats, goal: Floats, output: FilteredCommand) -> None:
        tolerance = self._tolerances.goal
        arrived = bool(np.abs(np.array(output.values) - goal).max() < 1e-6)
        within = bool(((np.abs(found - goal) <= tolerance) | ~np.isfinite(tolerance)).all())
        if within and (arrived or np.isfinite(tolerance).all()):
            self.end(SUCCEEDED, "succeeded")
        elif self._over > (self._tolerances.goal_time or SETTLE_WITHIN) and self._check(
            GOAL_TOLERANCE, "goal", found, goal, tolerance
        ):
            self.end(
                GOAL_TOLERANCE, f"the limited command is not at the goal {self._over:.3g} s after the end"
            )
