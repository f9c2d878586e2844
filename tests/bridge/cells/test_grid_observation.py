"""The observation that is built from a robot's readings is, byte for byte, the one that the grid gives."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("warp")

from nerfbot.bridge.cells.grid_observation import ObjectPose, ObservationBuilder, RobotState
from nerfbot.course import Course, load_course
from nerfbot.course.elements import Gate
from nerfbot.grid.action_menu import MOVES
from nerfbot.grid.build import counts_keys
from nerfbot.grid.env import GridEnv
from nerfbot.limits import AXES


def built(env: GridEnv, builder: ObservationBuilder, course: Course, cell: tuple[int, int]) -> dict:
    now = int(env.worlds.state.step.numpy()[0]) * env.worlds.nerf.tick
    objects = []
    for item in course.elements:
        if item.layer == "body" and item.kind != "wall":
            is_open = isinstance(item, Gate) and item.is_open(now)
            objects.append(ObjectPose(item, *course.centre(*item.position), is_open))
    lift = env.worlds.lift[0].tolist()
    left = max((lease["end"] - now for lease in env.leases()), default=0.0)
    charges = -1.0 if env.leases() else 0.0
    pose = np.array([*course.centre(*cell), 0.0])
    return builder.build(RobotState(pose, objects, lift=lift, seconds_left=left, charges=charges))


@pytest.mark.parametrize("lift", [None, 0.0, 0.4, 1.0])
@pytest.mark.parametrize("nerf", ["none", "rover-weak", "rover-blind"])
@pytest.mark.parametrize(
    "course", ["coin-in-corner", "yellow-coin", "keys-and-chests", "gauntlet", "sensing", "ramp"]
)
def test_bytes_are_the_grid_s(course: str, nerf: str, lift: float | None) -> None:
    schedule = "never" if lift is None else {"kind": "always", "axes": dict.fromkeys(AXES, lift)}
    env = GridEnv(course=course, nerf=nerf, schedule=schedule, levels=6, training=False)
    worlds, random, compared = env.worlds, np.random.default_rng(0), 0
    for level in range(6):
        observation, _ = env.reset(seed=level, options={"level": level})
        drawn = worlds.levels.courses[level]
        keys = counts_keys(worlds.levels, worlds.menu)
        builder = ObservationBuilder(drawn, worlds.nerf, keys=keys)
        assert builder.features == env.feature_names
        for _ in range(25):
            progress = observation["vector"][0]
            number = int(worlds.state.cell.numpy()[0])
            observed = built(env, builder, drawn, divmod(number, worlds.levels.columns))
            observed["vector"][0] = progress  # a robot decides when a move is over
            np.testing.assert_array_equal(observed["grid"], observation["grid"])
            np.testing.assert_allclose(observed["vector"], observation["vector"], atol=1e-5)
            compared += 1
            observation, _, over, late, info = env.step(int(random.integers(1, len(MOVES))))
            if over or late or info["nerf"]["contact"]:
                break  # something was met, and may be gone
    assert compared > 12


def test_an_object_that_is_gone_and_one_that_moved_are_seen_so() -> None:
    course = load_course("coin-in-corner", seed=3)
    env = GridEnv(course=course)
    builder = ObservationBuilder(course, env.worlds.nerf)
    coin = course.of("coin")[0]
    pose = np.array([course.start.x, course.start.y, 0.0])
    there = builder.build(RobotState(pose, [ObjectPose(coin, *course.centre(*coin.position))]))["grid"]
    moved = builder.build(RobotState(pose, [ObjectPose(coin, *course.centre(2, 3))]))["grid"]
    gone = builder.build(RobotState(pose, []))["grid"]
    assert there[coin.position][0] == moved[2, 3][0] > 15
    assert gone[coin.position][0] < 15
    assert moved[coin.position][0] == gone[coin.position][0]
