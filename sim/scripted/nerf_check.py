"""The robots that ship, each with its nerf, a course on which the nerf bites, and who drives it there.

`check` measures how often each succeeds nerfed and lifted over seeds: a nerf that does not bite, or a lift
that does not help, is no use to anyone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nerfbot.course import Course, load_course
from nerfbot.declared import suggestion
from nerfbot.errors import InvalidCommand

from ..errors import InvalidRobot
from ..plant.nerfed_plant import NerfedPlant
from ..robots.description import AckermannDrive, RobotDescription
from ..robots.gait import GAITS
from .car_driver import CarDriver
from .driver import Driver
from .episode import Steers, ZoneLeases, run_episode
from .lift_task import RaiseTask, Raising
from .walk_driver import WalkDriver

FAILS, PASSES = 0.2, 0.8
"""A nerfed body succeeds in at most this share of the seeds, a lifted one in at least that."""


def scripted(robot: RobotDescription, course: Course, lift: Callable[[], NDArray[np.float64]]) -> Steers:
    """A scripted driver for one episode of a robot on a course, by how it moves: wheels, a car's, legs.

    ``lift()`` tells the lift levels by axis. Raises `InvalidRobot` for a robot that has neither a drive nor a
    gait: nobody knows how it would get about.
    """
    if isinstance(robot.drive, AckermannDrive):
        return CarDriver(course, robot=robot)
    if robot.drive is not None:
        return Driver(course, robot=robot)
    if (GAITS / f"{robot.name}.yaml").is_file():
        return WalkDriver(course, lift, robot, robot.name)
    raise InvalidRobot(f"{robot.name}: no scripted driver: it has neither a drive nor a gait")


class Body(NamedTuple):
    """A robot with its nerf, the course (or task) where it bites, and the axes on which leases are asked for.

    ``drives``: a scripted driver takes it through the course; an arm's task says how it moves.
    """

    robot: str
    nerf: str
    course: str
    axes: tuple[str, ...]
    drives: bool = True

    def episodes(self, seeds: Iterable[int], axes: tuple[str, ...]) -> Iterator[bool]:
        """Whether each seed's episode succeeds with leases on ``axes``: inside the course's lift zones, or
        anywhere for an arm.
        """
        if not self.drives:
            with Raising(RaiseTask.load_task(self.course), self.nerf) as arm:
                for seed in seeds:
                    yield arm.run(seed, axes).success
            return
        plant = NerfedPlant(self.course, self.nerf, self.robot, pictures=False)
        try:
            for seed in seeds:
                course = load_course(self.course, seed=seed)
                readings = plant.reset(course, seed=seed)
                driver = scripted(plant.plant.description, course, lambda: plant.lift)
                yield run_episode(plant, driver, leases=ZoneLeases(axes), readings=readings).success
        finally:
            plant.close()


BODIES: dict[str, Body] = {
    "rover": Body("rover", "rover-weak", "strength", ("strength",)),
    "racecar": Body("racecar", "racecar-weak", "chicane", ("speed",)),
    "a1": Body("a1", "a1-weak", "dash", ("strength", "speed")),
    "panda": Body("panda", "panda-weak", "raise-load", ("strength",), drives=False),
}
"""The bodies by name. To add one, write its robot, preset and course, and a line here."""


class Bite(NamedTuple):
    """How often a body succeeded, nerfed and lifted, in shares of ``seeds`` episodes each."""

    name: str
    nerf: str
    course: str
    axes: tuple[str, ...]
    seeds: int
    nerfed: float
    lifted: float

    @property
    def holds(self) -> bool:
        """Whether the nerf bites and the lift helps."""
        return self.nerfed <= FAILS and self.lifted >= PASSES


def check(name: str, seeds: int = 20, first: int = 0, done: Callable[[], None] = lambda: None) -> Bite:
    """Measure a body over ``seeds`` seeds from ``first`` on; ``done`` is called after every episode.

    Raises `InvalidCommand` for a name that is not in `BODIES` or fewer than one seed.
    """
    if name not in BODIES:
        known = list(BODIES)
        raise InvalidCommand(f"body: unknown {name!r}{suggestion(name, known)}")
    if seeds < 1:
        raise InvalidCommand(f"seeds: must be at least 1, got {seeds}")
    body, rates = BODIES[name], []
    for axes in ((), body.axes):
        passed = 0
        for success in body.episodes(range(first, first + seeds), axes):
            passed += success
            done()
        rates.append(passed / seeds)
    return Bite(name, body.nerf, body.course, body.axes, seeds, *rates)
