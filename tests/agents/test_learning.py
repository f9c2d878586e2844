"""PPO solves what it is known to solve, in as many steps as others take (CleanRL's and the RL Zoo's runs)."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, VectorEnv

from nerfbot.agents.learner import Learner
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.policy import Policy
from nerfbot.agents.ppo import PPOConfig
from nerfbot.agents.tensor_env import TensorVectorEnv

NETWORK = NetworkConfig(hidden=(64, 64), separate=True)
NORMALISED = {"normalise_observations": True, "normalise_rewards": True}


def worlds(name: str, count: int) -> VectorEnv:
    keywords = {"autoreset_mode": AutoresetMode.SAME_STEP}
    return gymnasium.make_vec(name, num_envs=count, vectorization_mode="sync", vector_kwargs=keywords)


def mean_return(policy: Policy, name: str, episodes: int = 100) -> float:
    """The mean of as many episodes that training never saw, undiscounted."""
    envs = worlds(name, episodes)
    observation, _ = envs.reset(seed=10_000)
    total, going = np.zeros(episodes), np.ones(episodes, bool)
    while going.any():
        observation, reward, terminated, truncated, _ = envs.step(policy.act(observation))
        total += reward * going
        going &= ~(terminated | truncated)
    envs.close()
    return float(total.mean())


def trained(name: str, steps: int, count: int, config: PPOConfig) -> Learner:
    learner = Learner(TensorVectorEnv(worlds(name, count)), NETWORK, config, steps, seed=0)
    while not learner.done:
        learner.iterate()
    learner.env.close()
    return learner


@pytest.mark.slow
def test_cart_pole_is_solved_within_150_000_steps() -> None:
    config = PPOConfig(
        rollout_steps=32, epochs=8, minibatches=4, learning_rate=2.5e-3, gamma=0.98, lam=0.8, entropy=0.0
    )
    learner = trained("CartPole-v1", 120_000, 32, config)
    assert learner.steps <= 150_000
    assert mean_return(learner.policy(), "CartPole-v1") >= 475


@pytest.mark.slow
def test_lunar_lander_is_solved_within_a_million_steps() -> None:
    pytest.importorskip("Box2D")
    config = PPOConfig(
        rollout_steps=128, epochs=6, minibatches=8, learning_rate=1.5e-3, entropy=0.005, **NORMALISED
    )
    learner = trained("LunarLander-v3", 600_000, 32, config)
    assert learner.steps <= 1_000_000
    assert mean_return(learner.policy(), "LunarLander-v3") >= 200


@pytest.mark.slow
def test_continuous_control_is_learned_with_normalised_observations_and_rewards() -> None:
    config = PPOConfig(
        rollout_steps=64, epochs=8, minibatches=8, learning_rate=1e-3, gamma=0.9, entropy=0.0, **NORMALISED
    )
    learner = trained("Pendulum-v1", 120_000, 16, config)
    assert mean_return(learner.policy(), "Pendulum-v1", 50) > -400  # about -1200 before, -150 at best
