"""What the lidar says against the floor plan."""

from __future__ import annotations

import numpy as np
import pytest

from nerfbot.course.elements import Wall


@pytest.mark.parametrize("nerf", ["none", "rover-weak", "rover-blind"])
def test_driving_about_raises_no_wall_that_is_not_there(rover, nerf: str) -> None:
    env = rover(course="coin-in-corner", nerf=nerf, levels=3, in_order=True)
    random = np.random.default_rng(0)
    for level in range(3):
        env.reset(seed=level)
        plan = env.perception.builder.walls.standing.copy()
        for _ in range(12):
            _, _, over, late, _ = env.step(int(random.integers(1, 5)))
            np.testing.assert_array_equal(env.perception.builder.walls.standing, plan)
            if over or late:
                break


def test_a_wall_that_was_put_up_and_one_that_was_torn_down_are_noticed(rover) -> None:
    rows = ("#########", "#S......#", "#.......#", "#...#...#", "#.......#", "#......C#", "#########")
    env = rover(*rows)
    env.reset(seed=0)
    env.nerfed.plant.edits.set_cell(1, 4, Wall(row=1, column=4))
    env.nerfed.plant.edits.set_cell(3, 4, None)
    for action in (4, 1, 0, 1, 0):
        env.step(action)
    assert env.perception.builder.walls.standing[1, 4]
    for action in (4, 0, 0):
        env.step(action)
    assert not env.perception.builder.walls.standing[3, 4]
