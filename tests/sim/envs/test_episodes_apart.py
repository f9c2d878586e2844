"""An episode depends on its seed alone, never on the episode before it: every robot and environment."""

from __future__ import annotations

import hashlib
from typing import Any

import gymnasium
import numpy as np
import pytest

pytest.importorskip("pybullet")

import nerfbot  # noqa: F401  registers the environments

POWERS = {"powers": ["strength", "speed", "move-coin", "teleport"], "schedule": "occasional"}
ENVIRONMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "rover": ("nerfbot/Rover-v0", {"course": "gauntlet"}),
    "rover with powers": ("nerfbot/Rover-v0", {"course": "coin-in-corner", **POWERS}),
    "rover, blocks": ("nerfbot/Rover-v0", {"course": "strength", "nerf": "none"}),
    "racecar": ("nerfbot/Racecar-v0", {}),
    "a1": ("nerfbot/A1-v0", {}),
    "cells": ("nerfbot/RoverCells-v0", {"course": "coin-in-corner"}),
    "cells with powers": ("nerfbot/RoverCells-v0", {"course": "coin-in-corner", **POWERS}),
}


def digest(env: gymnasium.Env, seed: int, steps: int) -> str:
    """Everything that an episode shows, hashed."""
    observation, _ = env.reset(seed=seed)
    env.action_space.seed(seed)
    shown = hashlib.sha256()
    for _ in range(steps):
        for part in observation.values() if isinstance(observation, dict) else [observation]:
            shown.update(np.ascontiguousarray(part).tobytes())
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        shown.update(repr((reward, terminated, truncated)).encode())
        if terminated or truncated:
            break
    return shown.hexdigest()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_seed_gives_the_same_bytes_whatever_came_before(name: str) -> None:
    made, options = ENVIRONMENTS[name]
    steps = 12 if "cells" in name else 60
    env = gymnasium.make(made, **options)
    try:
        expected = digest(env, 3, steps)
        digest(env, 4, steps)
        assert digest(env, 3, steps) == expected
        env.reset(seed=5)
        assert digest(env, 3, steps) == expected
    finally:
        env.close()
