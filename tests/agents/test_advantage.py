"""Generalised advantages against explicit sums over trajectories."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from nerfbot.agents.advantage import generalised_advantage
from nerfbot.agents.learner import Learner
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.tensor_env import TensorVectorEnv
from tests.agents.toys import SMALL, ppo, scripted


def slowly(reward, value, after, terminated, last, gamma, lam) -> np.ndarray:
    """Every advantage as the sum of (gamma lam)^k delta_k from its step to its chain's end, one by one."""
    steps, count = reward.shape
    found = np.zeros((steps, count))
    for world in range(count):
        for begin in range(steps):
            for step in range(begin, steps):
                follows = 0.0 if terminated[step, world] else after[step, world]
                delta = reward[step, world] + gamma * follows - value[step, world]
                found[begin, world] += (gamma * lam) ** (step - begin) * delta
                if last[step, world]:
                    break
    return found


@given(
    st.integers(1, 12),
    st.integers(1, 4),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.integers(0, 2**16),
)
def test_advantages_are_sums_that_stop_at_terminations_truncations_and_cuts(
    steps: int, count: int, gamma: float, lam: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    reward, value, after = rng.normal(size=(3, steps, count))
    terminated, other = rng.random((2, steps, count)) < 0.2
    last = terminated | other
    found = generalised_advantage(
        *(torch.from_numpy(x) for x in (reward, value, after)),
        torch.from_numpy(terminated),
        torch.from_numpy(last),
        gamma,
        lam,
    )
    assert np.allclose(found, slowly(reward, value, after, terminated, last, gamma, lam))


def test_with_lambda_one_the_return_is_the_discounted_sum_of_rewards() -> None:
    reward, value = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[9.0], [-3.0], [5.0]])
    ends = torch.tensor([[False], [False], [True]])
    # Values in between cancel where each is the next value of the step before it.
    next_value = torch.tensor([[-3.0], [5.0], [0.0]])
    found = generalised_advantage(reward, value, next_value, ends, ends, 0.5, 1.0)
    assert (found + value).flatten().tolist() == [1 + 0.5 * 2 + 0.25 * 4, 2 + 0.5 * 4, 4]


def test_a_truncated_episode_is_bootstrapped_from_its_own_last_observation() -> None:
    truncated = np.zeros((6, 4), bool)
    truncated[2, 1] = truncated[5, 3] = True
    terminated = np.zeros((6, 4), bool)
    terminated[3, 0] = True
    env = scripted(truncated=truncated, terminated=terminated)
    learner = Learner(TensorVectorEnv(env), SMALL, ppo(gamma=0.9, lam=0.8), 100)
    learner.collect()
    learner.process_rewards()
    rollout = learner.rollout

    def value(observation: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            seen = torch.as_tensor(observation, dtype=torch.float32)
            return learner.network({"": seen}).values["task"].numpy()

    values = np.stack([value(row) for row in env.observation])
    after = values[1:].copy()
    after[2, 1], after[5, 3] = value(env.final[2])[1], value(env.final[5])[3]
    assert abs(after[2, 1] - values[3, 1]) > 1e-3  # the next episode's first observation is another
    wanted = slowly(env.reward, values[:-1], after, terminated, terminated | truncated, 0.9, 0.8)
    assert np.allclose(rollout.advantages["task"], wanted, atol=1e-5)
    assert np.allclose(rollout.returns["task"], wanted + values[:-1], atol=1e-5)
    follows = np.where(terminated, 0.0, after)
    assert np.allclose(rollout.td_errors, env.reward + 0.9 * follows - values[:-1], atol=1e-5)


def test_a_recurrent_critic_judges_a_truncated_episodes_end_with_the_memory_of_that_episode() -> None:
    truncated = np.zeros((6, 4), bool)
    truncated[2, 1] = True
    env = scripted(truncated=truncated)
    learner = Learner(TensorVectorEnv(env), NetworkConfig(hidden=(16,), memory=8), ppo(), 100)
    learner.collect()
    learner.process_rewards()
    with torch.no_grad():
        memory = learner.network.initial_state(1, torch.device("cpu"))
        for seen in (*env.observation[:3, 1], env.final[2, 1]):
            told = learner.network({"": torch.as_tensor(seen, dtype=torch.float32)[None]}, memory)
            memory = told.hidden_state
    wanted = float(told.values["task"])
    assert abs(float(learner.rollout.next_values["task"][2, 1]) - wanted) < 1e-5
