"""A state that is put back goes on exactly as the one it was taken from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nerfbot.errors import InvalidCommand
from nerfbot.grid.vector_env import GridVectorEnv

EDITS = {"course": "coin-in-corner", "powers": ["move-coin", "teleport"], "schedule": "occasional"}
LIFTS = {
    "course": "coin-in-corner",
    "powers": ["speed"],
    "nerf": "rover-weak",
    "schedule": {"kind": "staircase", "window": 5, "rise": 0.3, "fall": 0.1},
}


def played(env: GridVectorEnv, steps: int, seed: int) -> list[Any]:
    rng, arrays = np.random.default_rng(seed), []
    for _ in range(steps):
        actions = rng.integers(0, len(env.action_table), env.num_envs)
        observation, reward, terminated, truncated, info = env.step(actions)
        arrays += [*observation.values(), reward, terminated, truncated, info["action_mask"]]
        arrays += [info["nerf"][name] for name in ("lift", "granted", "contact", "edit", "illegal")]
        if "final_info" in info:
            summary = info["final_info"]["episode_summary"]
            arrays += [
                summary[name][info["_final_info"]] for name in ("return", "length", "apart_steps", "level")
            ]
    return [part.copy() for part in arrays]


@pytest.mark.parametrize("keywords", [EDITS, LIFTS], ids=["edits", "lifts that adapt"])
def test_a_restored_state_goes_on_as_the_one_it_was_taken_from(keywords: dict[str, Any]) -> None:
    env, other = (GridVectorEnv(16, seed=seed, **keywords) for seed in (0, 99))
    env.reset(seed=0)
    other.reset(seed=7)
    played(env, 150, 1)
    played(other, 20, 2)
    state = env.state()
    expected = played(env, 150, 3)
    for _ in range(2):  # and the state itself is not used up
        observation, info = other.restore(state)
        assert np.array_equal(info["action_mask"].ravel(), state["told.mask"])
        assert np.array_equal(
            observation["grid"], state["told.cells"].reshape(16, -1)[:, : 3 * 81].reshape(16, 9, 9, 3)
        )
        replayed = played(other, 150, 3)
        assert len(replayed) == len(expected)
        assert all(np.array_equal(a, b) for a, b in zip(replayed, expected, strict=True))


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"num_envs": 3}, "is of 2 worlds, here are 3"),
        ({"powers": [], "schedule": "never"}, r"state\.\w+\.\w+: is"),
        ({"course": "keys-and-chests"}, r"state\.\w+\.\w+: is"),
        (LIFTS, "other entries"),
    ],
)
def test_a_state_of_worlds_made_otherwise_is_refused_in_one_line(other: dict[str, Any], says: str) -> None:
    env = GridVectorEnv(**{"num_envs": 2, "seed": 0, **EDITS})
    env.reset(seed=0)
    strange = GridVectorEnv(**{"num_envs": 2, "seed": 0, **EDITS, **other})
    strange.reset(seed=0)
    with pytest.raises(InvalidCommand, match=says) as caught:
        strange.restore(env.state())
    assert "\n" not in str(caught.value)
