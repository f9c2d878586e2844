"""The robots that ship, each with its nerf, a course on which the nerf bites, and who drives it there.

`check` measures how often each succeeds nerfed and lifted over seeds: a nerf that does not bite, or a lift
that does not help, is no use to anyone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from nerfbot.course import Course
from nerfbot.errors import InvalidCommand
from nerfbot.limits.yamlio import suggestion

from .car_driver import CarDriver
from .driver import Driver
from .episode import Steers, ZoneLeases, run_episode
from .nerfed import NerfedPlant
from .raising import RaiseTask, Raising
from .walk_driver import WalkDriver

FAILS, PASSES = 0.2, 0.8
"""A nerfed body succeeds in at most this share of the seeds, a lifted one in at least that."""


class Body(NamedTuple):
    """A robot with its nerf, the course (or task) where it bites, and the axes on which leases are asked for.

    ``driver(course, plant)`` makes the driver of an episode; an arm has none: its task says how it moves.
    """

    robot: str
    nerf: str
    course: str
    axes: tuple[str, ...]
    driver: Callable[[Course, NerfedPlant], Steers] | None

    def episodes(self, seeds: Iterable[int], axes: tuple[str, ...]) -> Iterator[bool]:
        """Whether each seed's episode succeeds with leases on ``axes``: inside the course's lift zones, or
        anywhere for an arm.
        """
        if self.driver is None:
            with Raising(RaiseTask.load_task(self.course), self.nerf) as arm:
                for seed in seeds:
                    yield arm.run(seed, axes).success
            return
        plant = NerfedPlant(self.course, self.nerf, self.robot, pictures=False)
        try:
            for seed in seeds:
                course = Course.load(self.course, seed=seed)
                readings = plant.reset(course, seed=seed)
                driver = self.driver(course, plant)
                yield run_episode(plant, driver, leases=ZoneLeases(axes), readings=readings).success
        finally:
            plant.close()


BODIES: dict[str, Body] = {
    "rover": Body("rover", "rover-weak", "strength", ("strength",), lambda course, plant: Driver(course)),
    "racecar": Body(
        "racecar", "racecar-weak", "chicane", ("speed",), lambda course, plant: CarDriver(course)
    ),
    "a1": Body(
        "a1",
        "a1-weak",
        "dash",
        ("strength", "speed"),
        lambda course, plant: WalkDriver(course, lambda: plant.lift),
    ),
    "panda": Body("panda", "panda-weak", "raise-load", ("strength",), None),
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
        raise InvalidCommand(f"body: unknown {name!r}{suggestion(name, known)} (known: {', '.join(known)})")
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
