"""Policies and checkpoints in `data`, written by an earlier version of the package, still load and go on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nerfbot.agents.curricula import LevelReplay, StateRecorder
from nerfbot.agents.explorers import load_explorer
from nerfbot.agents.hooks import Bonus
from nerfbot.agents.learner import Learner
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.policy import Policy, load_policy
from nerfbot.agents.ppo import PPOConfig
from nerfbot.agents.tensor_env import TensorVectorEnv
from nerfbot.course import load_plan
from nerfbot.grid.action_menu import MOVES
from nerfbot.grid.levels import LevelSet, Split
from nerfbot.grid.vector_env import GridVectorEnv
from tests.agents.toys import Corridor

DATA = Path(__file__).parent / "data"
EXPECTED = json.loads((DATA / "expected.json").read_text())
"""What the version that wrote them did with them: a policy's actions, and the metrics of a continued run."""


def observations(policy: Policy, count: int = 32) -> dict[str, np.ndarray]:
    """Random walled maps with an agent, and random numbers."""
    random = np.random.default_rng(7)
    parts = {}
    for name, box in policy.parts.items():
        if box.dtype == np.uint8:
            grid = np.zeros((count, *box.shape), np.uint8)
            grid[..., 0] = random.integers(1, 9, grid.shape[:3])
            grid[..., 1] = random.integers(0, 6, grid.shape[:3])
            grid[:, [0, -1], :, 0] = grid[:, :, [0, -1], 0] = 2
            grid[np.arange(count), random.integers(1, 8, count), random.integers(1, 8, count), 2] = 64
            parts[name] = grid
        else:
            parts[name] = random.normal(size=(count, *box.shape)).astype(np.float32)
    return parts


@pytest.mark.parametrize("name", ["egocentric", "planning", "rover"])
def test_a_saved_policy_of_before_acts_as_it_did(name: str) -> None:
    policy = load_policy(DATA / name)
    actions, expected = policy.act(observations(policy)), EXPECTED[name]
    if not isinstance(actions, dict):
        actions, expected = {"": actions}, {"": expected}
    assert set(actions) == set(expected)
    for part, values in actions.items():
        np.testing.assert_allclose(values, expected[part], atol=1e-5)


def grid(powers: bool) -> TensorVectorEnv:
    levels = LevelSet.draw(load_plan("coin-in-corner"), 8, True, Split.TRAIN, 0.0)
    keywords: dict[str, Any] = {"powers": ()}
    if powers:
        schedule = {"kind": "occasional", "probability": 1.0}
        keywords = {"powers": ["move-coin", "phase"], "schedule": schedule}
    env = GridVectorEnv(4, copy=False, seed=3, course=levels, level_seed=3, **keywords)
    return TensorVectorEnv(env, moves=len(MOVES) if powers else None)


def learner_of(name: str) -> Learner:
    ppo: dict[str, Any] = {"rollout_steps": 16, "epochs": 2, "minibatches": 2}
    if name == "explore":
        planning = {"kind": "planning", "hidden": (), "channels": 2, "embedding": 4, "predicts_reward": True}
        network = NetworkConfig(**planning, vector=False)
        explorer, curriculum = load_explorer("linear"), StateRecorder()
        env = grid(powers=True)
        return Learner(env, network, PPOConfig(**ppo), 1280, explorer, curriculum=curriculum, seed=3)
    if name == "replay":
        network = NetworkConfig(hidden=(4,), vector=False)
        return Learner(grid(False), network, PPOConfig(**ppo), 1280, curriculum=LevelReplay(), seed=3)
    return Learner(
        TensorVectorEnv(Corridor(4), moves=Corridor.MOVES),
        NetworkConfig(hidden=(8,), memory=4),
        PPOConfig(**ppo, normalise_observations=True, normalise_rewards=True),
        1280,
        load_explorer("regressor", network={"hidden": [8]}, memory=32),
        "value-change",
        Bonus("td-surprise"),
        seed=3,
    )


@pytest.mark.parametrize("name", ["explore", "replay", "recurrent"])
def test_a_checkpoint_of_before_goes_on_as_it_would_have(name: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(gzip.decompress((DATA / f"{name}.pt.gz").read_bytes()))
    learner = learner_of(name)
    assert learner.load(path) == {"note": name}
    for expected in EXPECTED[f"{name}.pt"]:
        metrics = learner.iterate()
        assert list(metrics) == list(expected)
        assert metrics == pytest.approx(expected, rel=1e-3, abs=1e-4)
