"""An arm that is to raise a load: what a course is to a robot that drives, for one that stands.

The task is a YAML file; the load hangs in the hand from the start. A lift comes by a lease, as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nerfbot.declared import Declared, suggestion, validate
from nerfbot.files import read_yaml, shipped
from nerfbot.limits import AXES, NerfSpec
from nerfbot.powers import AuditLog, Lease, LeaseAuthority, LeasePolicy

from ..errors import InvalidRobot
from ..physics.client import Closable
from ..robots.arm import CYCLE, SimulatedArm
from ..robots.description import Positive, Vector
from .episode import LEASE_RAMP, LEASE_SECONDS

TASKS = Path(__file__).parent / "tasks"


class Load(Declared):
    """A cube of ``mass`` kg and ``side`` m."""

    mass: Positive
    side: Positive


class Variation(Declared):
    """What a seed draws: a factor on the mass between two bounds, an offset in rad of every start joint."""

    mass: tuple[Positive, Positive] = (1.0, 1.0)
    start: Annotated[float, Field(ge=0)] = 0.0


class RaiseTask(Declared):
    """Raise the load's centre to ``height`` m and keep it there for ``hold`` s, within ``horizon`` s.

    ``start`` and ``goal`` are joint positions (rad) by channel; the goal is the scripted driver's, which
    moves the joint that has the longest way at ``pace`` rad/s.
    """

    name: str
    title: str
    robot: str
    nerf: str
    link: str
    offset: Vector
    load: Load
    start: dict[str, float]
    goal: dict[str, float]
    pace: Positive
    height: float
    hold: Positive
    horizon: Positive
    variation: Variation = Variation()

    @classmethod
    def load_task(cls, source: str | Path) -> RaiseTask:
        """Read the task that ships as ``source``, or a YAML file; raises `InvalidRobot`, one line."""
        path = shipped(TASKS, source, "task", InvalidRobot)
        return validate(cls, read_yaml(path, InvalidRobot), str(path), InvalidRobot)


class RaiseResult(NamedTuple):
    """The outcome of an episode: whether the load was raised and held, its time in s, the load's greatest
    height in m.
    """

    success: bool
    time: float
    highest: float


class RaiseTaskRunner(Closable):
    """The task ``task`` with its arm, nerfed by ``nerf`` (default: the task's); a context manager.

    Raises `InvalidRobot`, `InvalidSpec` or `MissingDependency`; nothing is left open then.
    """

    def __init__(
        self,
        task: RaiseTask | str | Path = "raise-load",
        nerf: NerfSpec | str | Path | None = None,
        audit: AuditLog | None = None,
        gui: bool = False,
    ) -> None:
        self.task = task if isinstance(task, RaiseTask) else RaiseTask.load_task(task)
        self.arm = SimulatedArm(self.task.robot, self.task.nerf if nerf is None else nerf, gui=gui)
        try:
            client, links = self.arm.client, self.arm.robot.links
            if self.task.link not in links:
                known = suggestion(self.task.link, list(links))
                raise InvalidRobot(f"{self.task.name}: link: the robot has no {self.task.link!r}{known}")
            self._link = links[self.task.link]
            half = [self.task.load.side / 2] * 3
            self.load: int = client.createMultiBody(
                self.task.load.mass,
                client.createCollisionShape(client.GEOM_BOX, halfExtents=half),
                client.createVisualShape(client.GEOM_BOX, halfExtents=half, rgbaColor=(0.55, 0.35, 0.2, 1.0)),
            )
            for link in (-1, *links.values()):
                client.setCollisionFilterPair(self.arm.robot.body, self.load, link, -1, 0)
            self._grip: int | None = None
            self.authority = LeaseAuthority(policy=LeasePolicy(allow_outside=True), audit=audit)
            self.reset(0)
        except BaseException:
            self.arm.close()
            raise

    @property
    def height(self) -> float:
        """Of the load's centre, m."""
        return float(self.arm.client.getBasePositionAndOrientation(self.load)[0][2])

    def reset(self, seed: int) -> None:
        """Begin an episode: everything drawn follows from ``seed``; leases end."""
        random, task, client = np.random.default_rng(seed), self.task, self.arm.client
        low, high = task.variation.mass
        mass = task.load.mass * random.uniform(low, high)
        spread = task.variation.start
        start = {name: at + random.uniform(-spread, spread) for name, at in task.start.items()}
        if self._grip is not None:
            client.removeConstraint(self._grip)
        self.arm.place(start)
        self.arm.levels = (0.0,) * len(AXES)
        self.authority.reset(now=0.0)
        place, turn = client.getLinkState(self.arm.robot.body, self._link, computeForwardKinematics=1)[4:6]
        at, turned = client.multiplyTransforms(place, turn, task.offset, (0.0, 0.0, 0.0, 1.0))
        client.resetBasePositionAndOrientation(self.load, at, turned)
        client.resetBaseVelocity(self.load, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
        inertia = [mass * task.load.side**2 / 6.0] * 3
        client.changeDynamics(self.load, -1, mass=mass, localInertiaDiagonal=inertia)
        # A constraint counts from the link's centre of mass
        to_link = client.invertTransform(*client.getDynamicsInfo(self.arm.robot.body, self._link)[3:5])
        pivot, axes = client.multiplyTransforms(*to_link, task.offset, (0.0, 0.0, 0.0, 1.0))
        self._grip = client.createConstraint(
            self.arm.robot.body,
            self._link,
            self.load,
            -1,
            client.JOINT_FIXED,
            (0.0, 0.0, 0.0),
            pivot,
            (0.0, 0.0, 0.0),
            parentFrameOrientation=axes,
        )

    def step(self, goal: Sequence[float] | NDArray[np.float64]) -> None:
        """Let one control cycle pass with ``goal`` (channels,), rad, under the leases in force."""
        lift = self.authority.update(self.arm.time, ((0.0, 0.0),))
        self.arm.levels = tuple(lift[0])
        self.arm.actuate(goal)
        self.arm.read()

    def run(self, seed: int, axes: Sequence[str] = ()) -> RaiseResult:
        """One episode of the scripted driver, with leases on ``axes`` requested and renewed all the time."""
        self.reset(seed)
        task, names = self.task, [channel.name for channel in self.arm.channels]
        start = np.array(self.arm.state["position"])
        way = np.array([task.goal.get(name, at) for name, at in zip(names, start, strict=True)]) - start
        seconds = float(abs(way).max()) / task.pace
        until, held_for, highest = 0.0, 0.0, self.height
        while self.arm.time < task.horizon and held_for < task.hold:
            now = self.arm.time
            if axes and now >= until - LEASE_RAMP:
                lift = {axis: 1.0 for axis in axes}
                reason = f"raise {task.load.mass:g} kg to {task.height:g} m"
                self.authority.request(
                    Lease(axes=lift, reason=reason, duration=LEASE_SECONDS, ramp=LEASE_RAMP), now, (0.0, 0.0)
                )
                until = now + LEASE_SECONDS
            self.step(start + way * min(1.0, now / seconds))
            highest = max(highest, self.height)
            held_for = held_for + CYCLE if self.height >= task.height else 0.0
        return RaiseResult(held_for >= task.hold, self.arm.time, highest)

    def close(self) -> None:
        """Disconnect from the physics; closing twice does nothing."""
        self.arm.close()
