"""The robots that ship, each with its nerf, a course on which the nerf matters, and who drives it there.

`check` measures how often each succeeds nerfed and lifted over seeds: a nerf without effect, or a lift that
does not help, is of no use.
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
from .driver import ScriptedDriver
from .episode import RobotController, ZoneLeases, run_episode
from .lift_task import RaiseTask, RaiseTaskRunner
from .walk_driver import WalkDriver

FAILS, PASSES = 0.2, 0.8
"""A nerfed robot succeeds in at most this share of the seeds, a lifted one in at least that."""


def scripted(
    robot: RobotDescription, course: Course, lift: Callable[[], NDArray[np.float64]]
) -> RobotController:
    """A scripted driver for one episode of a robot on a course, by how it moves: wheels, a car's, legs.

    ``lift()`` returns the lift levels by axis. Raises `InvalidRobot` without a drive or a gait.
    """
    if isinstance(robot.drive, AckermannDrive):
        return CarDriver(course, robot=robot)
    if robot.drive is not None:
        return ScriptedDriver(course, robot=robot)
    if (GAITS / f"{robot.name}.yaml").is_file():
        return WalkDriver(course, lift, robot, robot.name)
    raise InvalidRobot(f"{robot.name}: no scripted driver: it has neither a drive nor a gait")


class CheckCase(NamedTuple):
    """A robot with its nerf, the course (or task) where it matters, and the axes of its leases.

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
            with RaiseTaskRunner(RaiseTask.load_task(self.course), self.nerf) as arm:
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


CHECK_CASES: dict[str, CheckCase] = {
    "rover": CheckCase("rover", "rover-weak", "strength", ("strength",)),
    "racecar": CheckCase("racecar", "racecar-weak", "chicane", ("speed",)),
    "a1": CheckCase("a1", "a1-weak", "dash", ("strength", "speed")),
    "husky": CheckCase("husky", "husky-weak", "dash", ("strength", "speed")),
    "panda": CheckCase("panda", "panda-weak", "raise-load", ("strength",), drives=False),
    "kuka": CheckCase("kuka", "kuka-weak", "raise-kuka", ("strength",), drives=False),
    "xarm": CheckCase("xarm", "xarm-weak", "raise-xarm", ("strength",), drives=False),
    "laikago": CheckCase("laikago", "laikago-weak", "raise-laikago", ("strength",), drives=False),
    "minitaur": CheckCase("minitaur", "minitaur-weak", "raise-minitaur", ("strength",), drives=False),
    "humanoid": CheckCase("humanoid", "humanoid-weak", "raise-humanoid", ("strength",), drives=False),
}
"""The cases by robot. To add one, write its robot, preset and course, and a line here."""


class CheckResult(NamedTuple):
    """How often a robot succeeded, nerfed and lifted, in shares of ``seeds`` episodes each."""

    name: str
    nerf: str
    course: str
    axes: tuple[str, ...]
    seeds: int
    nerfed: float
    lifted: float

    @property
    def holds(self) -> bool:
        """Whether the nerf has an effect and the lift helps."""
        return self.nerfed <= FAILS and self.lifted >= PASSES


def check(name: str, seeds: int = 20, first: int = 0, done: Callable[[], None] = lambda: None) -> CheckResult:
    """Measure a robot over ``seeds`` seeds from ``first`` on; ``done`` is called after every episode.

    Raises `InvalidCommand` for a name that is not in `CHECK_CASES` or fewer than one seed.
    """
    if name not in CHECK_CASES:
        known = list(CHECK_CASES)
        raise InvalidCommand(f"body: unknown {name!r}{suggestion(name, known)}")
    if seeds < 1:
        raise InvalidCommand(f"seeds: must be at least 1, got {seeds}")
    case, rates = CHECK_CASES[name], []
    for axes in ((), case.axes):
        passed = 0
        for success in case.episodes(range(first, first + seeds), axes):
            passed += success
            done()
        rates.append(passed / seeds)
    return CheckResult(name, case.nerf, case.course, case.axes, seeds, *rates)
