"""An arm in PyBullet with the interface of an arm on a servo bus (`ServoArm` in `nerfbot.hardware`).

As on a bus, servos and the shaping of their goals enforce velocity, acceleration and effort; a limiter in
front enforces what no register carries. Joints without servos have the limiter alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nerfbot.declared import suggestion
from nerfbot.limits import AXES, ActuatorLimiter, Channel, Measured, NerfSpec
from nerfbot.limits.shaping import GoalShaper

from ..errors import InvalidRobot, UnknownChannel
from ..physics.client import Client, Closable
from .description import RobotDescription
from .robot import Robot

Floats = NDArray[np.float64]

CYCLE = 0.01
"""Period of the control cycle, s: that of the driver on a bus."""

SUBSTEPS = 10
"""Physics steps a cycle: the damping of a light joint's servo is unstable in much longer ones than 1 ms."""


SERVO_LIMITS = ("effort", "velocity", "acceleration")
"""The limits that servos and the shaping of their goals enforce."""


class SimulatedArm(Closable):
    """A nerfed arm with a fixed base; `actuate` sets the goal, `read` lets one control cycle pass.

    Args:
        robot: a description, the name of a robot that ships with nerfbot, or the path of a YAML file.
        nerf: a specification, the name of a preset, or the path of a YAML file.
        seed: of everything random in the nerf.
        allow: names of limits that may stay unenforced.
        gui: show PyBullet's window.

    Positions in rad, velocities in rad/s, efforts in N·m, in the order of ``channels``. A context manager.
    ``levels`` (4,) is the lift by axis; it may be set at any time.

    Raises `InvalidRobot` (a joint that is no position channel, no fixed base, no envelope), `InvalidSpec` or
    `MissingDependency`; nothing is left open then.

    >>> from nerfbot.sim.robots.arm import SimulatedArm
    >>> with SimulatedArm("so101", "so101-weak") as arm:
    ...     for _ in range(200):
    ...         arm.actuate([0.5, 0.2, -0.2, 0.0, 0.0, 0.0])
    ...         state = arm.read()

    """

    def __init__(
        self,
        robot: RobotDescription | str | Path = "so101",
        nerf: NerfSpec | str | Path = "so101-weak",
        seed: int = 0,
        allow: Sequence[str] = (),
        gui: bool = False,
    ) -> None:
        self.description = robot if isinstance(robot, RobotDescription) else RobotDescription.load(robot)
        self.spec = NerfSpec.load(nerf)
        self._check(self.description)
        self.client = Client(gui)
        try:
            self.client.setPhysicsEngineParameter(fixedTimeStep=CYCLE / SUBSTEPS)
            self.robot = Robot(self.client, self.description)
            self.channels: tuple[Channel, ...] = self.robot.channels
            self.limiter = ActuatorLimiter(
                self.spec,
                self.channels,
                seed=seed,
                envelope=self.description.envelope,
                period=CYCLE,
                allow=tuple(allow),
            )
        except BaseException:
            self.client.close()
            raise
        bounds = [self.limiter.envelope.channel(channel) for channel in self.channels]
        self._shapes = {
            i: GoalShaper(limits, float(limits.min_position or 0.0), float(limits.max_position or 0.0), CYCLE)
            for i, (row, limits) in enumerate(zip(self.description.channels, bounds, strict=True))
            if row.servo is not None
        }
        other_limits = _without(self.spec, SERVO_LIMITS)
        self._front: ActuatorLimiter | None = None
        if self._shapes and _declares(other_limits):
            self._front = ActuatorLimiter(
                other_limits, self.channels, seed=seed, envelope=self.limiter.envelope, period=CYCLE
            )
        self.levels: ArrayLike = (0.0,) * len(AXES)
        self.state: dict[str, Any] = {}
        self.place({})

    @staticmethod
    def _check(description: RobotDescription) -> None:
        if not description.fixed_base:
            raise InvalidRobot(f"{description.name}: fixed_base: an arm needs true, got false")
        if description.envelope is None:
            raise InvalidRobot(f"{description.name}: envelope: an arm needs one, it has none")
        for row in description.channels:
            if row.mode != "position":
                raise InvalidRobot(
                    f"{description.name}: channels.{row.name}: an arm needs mode position, got {row.mode}"
                )

    @property
    def time(self) -> float:
        """Simulated seconds since the arm was placed."""
        return self._cycles * CYCLE

    def place(self, positions: Mapping[str, float]) -> None:
        """Begin anew at rest at ``positions`` (rad) by channel; the description's rest where not given.

        Raises `UnknownChannel` for a name that the arm does not have.
        """
        names = [channel.name for channel in self.channels]
        for name in positions:
            if name not in names:
                raise UnknownChannel(
                    f"{self.description.name}: place: no channel {name!r}{suggestion(name, names)}"
                )
        rows = self.description.channels
        joints = {row.joint_name: positions[row.name] for row in rows if row.name in positions}
        self.robot.place(0.0, 0.0, 0.0, joints=joints)
        for limiter in (self.limiter, self._front):
            if limiter is not None:
                limiter.reset()
        self._cycles = 0
        for i, shape in self._shapes.items():
            shape.begin(self.robot.state.joints[i][0])
        self.state = self._state(np.zeros(len(self.channels)))
        self.state["goal"] = self.state["position"]
        self.actuate(self.state["position"])

    def actuate(
        self, value: Floats | Sequence[float], effort_limit: Floats | Sequence[float] | None = None
    ) -> None:
        """Command the goal of every joint, (channels,) in rad; it holds until the next one.

        ``effort_limit`` (channels,), N·m: the nerf's and this, whichever is less. Raises `InvalidCommand` for
        a wrong number of values, one that is not finite, or a limit below 0.
        """
        values, limits = self.robot.checked(value, effort_limit)
        self._command, self._effort_limit = values[0].copy(), limits[0].copy()

    def read(self, wait: float = 0.5) -> dict[str, Any]:
        """Let one control cycle pass; returns the new ``state``.

        ``wait`` has no effect here: a newer state always comes at once. The state has ``now``
        (s), ``phase`` ("run"), ``position``, ``velocity``, ``effort`` (what the motors drive with) and
        ``goal`` (after the nerf), lists in the order of ``channels``, and ``levels``.
        """
        measured = self.measured()
        command, levels = self._command[None], np.array([self.levels])
        limited = self.limiter.apply(command, measured, self.time, levels)
        if self._front is not None:
            command = self._front.apply(command, measured, self.time, levels).value
        limits = self.limiter.motion_limits()
        velocity, acceleration = limits.velocity[0], limits.acceleration[0]
        goal = limited.value[0]
        for i, shape in self._shapes.items():
            at = self.robot.state.joints[i][0]
            goal[i] = shape.step(float(command[0, i]), at, float(velocity[i]), float(acceleration[i]), CYCLE)
        self.robot.limit_motion(limits)
        self.robot.actuate(goal, np.minimum(limited.effort_limit[0], self._effort_limit))
        for _ in range(SUBSTEPS):
            self.client.stepSimulation()
        self.robot.read()
        self._cycles += 1
        if self.client.gui:
            self.client.follow((0.0, 0.0, 0.1), CYCLE)
        self.state = self._state(goal)
        return self.state

    def _state(self, goal: Floats) -> dict[str, Any]:
        measured = self.measured()
        values = {name: getattr(measured, name)[0].tolist() for name in ("position", "velocity", "effort")}
        levels = [float(level) for level in np.asarray(self.levels)]
        return {"now": self.time, "phase": "run", **values, "goal": goal.tolist(), "levels": levels}

    def measured(self) -> Measured:
        """What the joints reported in the state read last: arrays (1, channels)."""
        return self.robot.measured()

    def channel(self, name: str) -> Channel:
        """The channel called ``name``; raises `UnknownChannel`."""
        return self.channels[self.robot.index(name)]

    def hold(self, seconds: float) -> dict[str, Any]:
        """Ask for the measured position; a simulated arm follows commands at once, so one cycle passes."""
        self.actuate(self.state["position"])
        return self.read(seconds)

    def close(self) -> None:
        """Disconnect from the physics; closing twice does nothing."""
        self.client.close()


def _without(spec: NerfSpec, fields: Sequence[str]) -> NerfSpec:
    """``spec`` without these limits of its channels."""
    nothing = {field: None for field in fields}
    channels = {name: channel.model_copy(update=nothing) for name, channel in spec.channels.items()}
    return spec.model_copy(update={"channels": channels})


def _declares(spec: NerfSpec) -> bool:
    """Whether any limit of a channel or of the link is left."""
    return any(True for section in (spec.command, *spec.channels.values()) for _ in section.limits())
