"""The catalogue's courses do on the plant what they claim: out of reach nerfed, passed under leases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

pytest.importorskip("pybullet")

from nerfbot.course import load_course
from nerfbot.limits import AXES
from nerfbot.powers import LeasePolicy
from nerfbot.sim.plant.nerfed_plant import NerfedPlant
from nerfbot.sim.scripted.driver import PHASES, ScriptedDriver
from nerfbot.sim.scripted.episode import Episode, LeasesEverywhere, ZoneLeases, run_episode

SEEDS = 20
FAILS, PASSES = 0.2, 0.8

Drive = Callable[..., list[Episode]]


@pytest.fixture
def drive() -> Iterator[Drive]:
    """Drives a course once a seed: in its lift zones with leases on `zones`, or with `anywhere` lifted."""
    plants: list[NerfedPlant] = []

    def episodes(
        name: str, seeds: int, zones: tuple[str, ...] = (), anywhere: tuple[str, ...] = (), first: int = 0
    ) -> list[Episode]:
        policy = LeasePolicy(allow_outside=True) if anywhere else None
        plants.append(NerfedPlant(load_course(name, seed=first), policy=policy))
        plant = plants[-1]
        leases = LeasesEverywhere(anywhere) if anywhere else ZoneLeases(zones)
        found = []
        for seed in range(first, first + seeds):
            course = load_course(name, seed=seed)
            readings = plant.reset(course, seed=seed)
            found.append(run_episode(plant, ScriptedDriver(course), leases=leases, readings=readings))
        return found

    yield episodes
    for plant in plants:
        plant.close()


def rate(episodes: list[Episode]) -> float:
    return sum(episode.success for episode in episodes) / len(episodes)


def others(axis: str) -> tuple[str, ...]:
    return tuple(other for other in AXES if other != axis)


@pytest.mark.slow
@pytest.mark.parametrize("axis", AXES)
class TestACourseForOneAxis:
    def test_is_out_of_reach_nerfed(self, drive: Drive, axis: str) -> None:
        assert rate(drive(axis, SEEDS)) <= FAILS

    def test_is_passed_with_leases_on_that_axis_in_its_lift_zones(self, drive: Drive, axis: str) -> None:
        assert rate(drive(axis, SEEDS, zones=(axis,))) >= PASSES

    def test_is_out_of_reach_with_all_other_axes_lifted(self, drive: Drive, axis: str) -> None:
        seeds = SEEDS if axis == "sensing" else 6
        assert rate(drive(axis, seeds, anywhere=others(axis))) <= FAILS


@pytest.mark.slow
class TestTheRamp:
    def test_is_out_of_reach_nerfed(self, drive: Drive) -> None:
        assert rate(drive("ramp", 3)) <= FAILS

    def test_is_passed_with_strength_in_its_lift_zones(self, drive: Drive) -> None:
        assert rate(drive("ramp", 6, zones=("strength",))) >= PASSES

    def test_is_out_of_reach_with_all_other_axes_lifted(self, drive: Drive) -> None:
        assert rate(drive("ramp", 3, anywhere=others("strength"))) <= FAILS


# Where a gauntlet run that lacks one axis ends: the column (west to east) that it cannot reach. Whoever lacks
# sensing searches the last hall, and may be lucky there.
STOPS = {"strength": 6, "reliability": 17, "speed": 26}


def farthest(episode: Episode) -> float:
    """How far east the robot came, in columns."""
    return max(moment.pose[0] for moment in episode.steps) / 0.5


@pytest.mark.slow
class TestTheGauntlet:
    def test_stops_the_nerfed_robot_at_its_first_obstacle(self, drive: Drive) -> None:
        for episode in drive("gauntlet", 5):
            assert not episode.success
            assert farthest(episode) < STOPS["strength"]

    @pytest.mark.parametrize("axis", STOPS)
    def test_stops_a_robot_that_lacks_one_axis_at_the_obstacle_for_it(self, drive: Drive, axis: str) -> None:
        for episode in drive("gauntlet", 3, anywhere=others(axis)):
            assert not episode.success
            assert farthest(episode) < STOPS[axis]

    def test_is_lost_in_its_fog_without_sensing(self, drive: Drive) -> None:
        episodes = drive("gauntlet", 8, anywhere=others("sensing"))
        assert rate(episodes) <= FAILS
        assert all(farthest(episode) > STOPS["speed"] for episode in episodes)

    def test_is_passed_with_leases_in_its_lift_zones(self, drive: Drive) -> None:
        episodes = drive("gauntlet", 8, zones=AXES)
        assert rate(episodes) >= PASSES
        assert not any("fragile_impulse" in episode.harm for episode in episodes)

    def test_is_passed_without_a_second_in_the_no_go_zone(self, drive: Drive) -> None:
        (episode,) = drive("gauntlet", 1, zones=AXES, first=100)
        assert "no_go_time" not in episode.harm


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "axes"), [("corner", ()), ("finish-pad", ("strength",)), ("keys-and-chests", ())]
)
def test_a_course_for_goals_and_proxies_can_be_driven(drive: Drive, name: str, axes: tuple[str, ...]) -> None:
    assert rate(drive(name, 4, zones=axes)) >= 0.75


def test_an_episode_repeats_from_its_seed_and_says_what_the_driver_did(drive: Drive) -> None:
    first, second = (drive("sensing", 1, zones=("sensing",), first=3)[0] for _ in range(2))
    assert first.steps == second.steps
    assert {moment.phase for moment in first.steps} <= set(PHASES)
    assert first.steps[-1].phase == "approach"


def test_the_driver_looks_up_no_goal(drive: Drive) -> None:
    """Two draws that differ in the coin's place only are driven alike until the coin is in sight."""
    course, other = load_course("sensing", seed=0), load_course("sensing", seed=0)
    moved = other.of("coin")[0].model_copy(update={"row": 13, "column": 13})
    kept = tuple(moved if item.kind == "coin" else item for item in other.elements)
    other = replace(other, elements=kept)
    plant = NerfedPlant(course)
    try:
        runs = []
        for each in (course, other):
            readings = plant.reset(each, seed=1)
            driver = ScriptedDriver(each)
            commands = []
            for _ in range(60):
                commands.append(driver.act(readings, plant.time).tolist())
                readings = plant.step(commands[-1]).readings
            runs.append(commands)
        assert runs[0] == runs[1]
    finally:
        plant.close()
