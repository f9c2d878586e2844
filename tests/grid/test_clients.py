"""What others do with the grid unmodified: train on it with stable-baselines3 and sb3-contrib."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest

import nerfbot  # noqa: F401  # importing it registers the environments
from nerfbot.powers import EDITS

NAME = "nerfbot/Grid-v0"
SMALL: dict[str, Any] = {"n_steps": 128, "batch_size": 64, "n_epochs": 2, "seed": 0, "device": "cpu"}
POWERED = {"course": "coin-in-corner", "levels": 16, "powers": ["speed", *EDITS], "schedule": "always"}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only wait for one another on several threads."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("options", [{"levels": 16}, POWERED], ids=["plain", "powers"])
def test_ppo_of_stable_baselines3_trains_on_it(options):
    sb3 = pytest.importorskip("stable_baselines3")
    model = sb3.PPO("MultiInputPolicy", gymnasium.make(NAME, **options), **SMALL)
    before = [weights.detach().clone() for weights in model.policy.parameters()]
    model.learn(512)
    assert model.num_timesteps == 512
    changed = [bool((old != new).any()) for old, new in zip(before, model.policy.parameters(), strict=True)]
    assert all(changed[-4:])
    observation, _ = gymnasium.make(NAME, **options).reset(seed=0)
    action, _ = model.predict(observation, deterministic=True)
    assert 0 <= int(action) < model.action_space.n


def test_ppo_learns_the_way_to_a_coin():
    """A corridor: the coin is four cells to the east; untrained, the policy does not get there."""
    sb3 = pytest.importorskip("stable_baselines3")
    from tests.grid.plants import course_of

    course = course_of(["#######", "#S...C#", "#######"], task="horizon: 16.0")
    env = gymnasium.make(NAME, course=course)
    keywords = {
        **SMALL,
        "n_steps": 256,
        "batch_size": 128,
        "n_epochs": 4,
        "policy_kwargs": {"net_arch": [32]},
    }
    model = sb3.PPO("MultiInputPolicy", env, **keywords, learning_rate=2e-3, gamma=0.9)

    def reached() -> bool:
        observation, _ = env.reset(seed=1)
        while True:
            action, _ = model.predict(observation, deterministic=True)
            observation, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                return terminated

    assert not reached()
    model.learn(2048)
    assert reached()


class TestMaskablePPO:
    def test_it_trains_and_never_takes_an_action_outside_the_mask(self):
        contrib = pytest.importorskip("sb3_contrib")

        class Watched(gymnasium.Wrapper[Any, Any, Any, Any]):
            taken: list[bool] = []  # noqa: RUF012

            def step(self, action: Any) -> Any:
                self.taken.append(bool(self.get_wrapper_attr("action_masks")()[action]))
                return self.env.step(action)

        schedule = {"kind": "occasional", "probability": 1.0, "start": [0, 30], "length": [5, 15]}
        env = Watched(gymnasium.make(NAME, **{**POWERED, "schedule": schedule}))
        model = contrib.MaskablePPO("MultiInputPolicy", env, **SMALL)
        model.learn(512)
        assert model.num_timesteps == 512
        assert len(env.taken) == 512
        assert all(env.taken)

    def test_it_predicts_with_the_mask_it_is_given(self):
        contrib = pytest.importorskip("sb3_contrib")
        env = gymnasium.make(NAME, **POWERED)
        model = contrib.MaskablePPO("MultiInputPolicy", env, **SMALL)
        observation, info = env.reset(seed=0)
        only = np.zeros_like(info["action_mask"])
        only[-1] = True
        action, _ = model.predict(observation, action_masks=only)
        assert int(action) == len(only) - 1

    def test_masks_come_through_its_own_vector_environments(self):
        pytest.importorskip("sb3_contrib")
        from sb3_contrib.common.maskable.utils import get_action_masks
        from stable_baselines3.common.env_util import make_vec_env

        envs = make_vec_env(NAME, n_envs=3, seed=0, env_kwargs=POWERED)
        envs.reset()
        masks = get_action_masks(envs)
        assert masks.shape == (3, envs.action_space.n)
        assert masks.dtype == np.bool_
        assert masks.all()
