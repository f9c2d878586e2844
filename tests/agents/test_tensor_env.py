"""What a batch shows of an environment."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from nerfbot.agents.tensor_env import TensorVectorEnv
from nerfbot.errors import InvalidCommand
from tests.agents.toys import Corridor, Scripted, corridor, scripted


class Counter(gymnasium.Env):
    """Shows its step twice over in doubles; truncated after three, or five for the second of them."""

    action_space = spaces.Discrete(2)

    def __init__(self, last: int, parts: bool) -> None:
        box = spaces.Box(0.0, 9.0, (2,), np.float64)
        self.last, self.parts = last, parts
        self.observation_space = spaces.Dict({"clock": box}) if parts else box

    def _seen(self):
        seen = np.full(2, float(self.now))
        return {"clock": seen} if self.parts else seen

    def reset(self, *, seed=None, options=None):
        self.now = 0
        return self._seen(), {"action_mask": np.array([1, 0], np.int8)}

    def step(self, action):
        self.now += 1
        return self._seen(), 1.0, False, self.now == self.last, {"action_mask": np.array([1, 1], np.int8)}


@pytest.mark.parametrize("parts", [False, True])
def test_the_last_observation_of_an_episode_is_told_beside_the_next_ones_first(parts: bool) -> None:
    envs = SyncVectorEnv(
        [lambda: Counter(3, parts), lambda: Counter(5, parts)], autoreset_mode=AutoresetMode.SAME_STEP
    )
    batch, name = TensorVectorEnv(envs), "clock" if parts else ""
    assert batch.reset(0)[name].dtype == torch.float32
    assert batch.mask is not None
    assert batch.mask.dtype == torch.bool
    assert batch.mask.tolist() == [[True, False]] * 2
    for _ in range(3):
        batch.step(np.zeros(2, int))
    assert batch.truncated.tolist() == [True, False]
    assert batch.observation[name].tolist() == [[0, 0], [3, 3]]
    final = batch.final_observation(np.array([0]))
    assert final[name].tolist() == [[3, 3]]
    assert final[name].dtype == torch.float32


def test_hidden_numbers_are_zero_at_the_start_in_steps_and_in_last_observations() -> None:
    truncated = np.zeros((6, 4), bool)
    truncated[0, 2] = True
    env = scripted(truncated=truncated)
    given = env.observation.copy()
    batch = TensorVectorEnv(env, hidden={"": [1]})
    for seen in (batch.reset(), (batch.step(np.zeros(4, int)), batch.observation)[1]):
        assert (seen[""][:, 1] == 0).all()
        assert (seen[""][:, [0, 2]] != 0).all()
    final = batch.final_observation(np.array([2]))[""]
    assert final[0, 1] == 0
    assert final[0, 0] == pytest.approx(env.final[0, 2, 0])
    assert np.array_equal(env.observation, given)  # what the environment holds stays as it was


def test_powers_are_open_where_an_action_past_the_moves_is() -> None:
    mask = np.ones((7, 4, 5), bool)
    mask[:, :, 3:] = False
    mask[0, 1, 4] = mask[1, 2, 3] = True
    batch = TensorVectorEnv(scripted(mask=mask), moves=3)
    batch.reset()
    assert batch.powered is not None
    assert batch.powered.tolist() == [False, True, False, False]
    batch.step(np.zeros(4, int))
    assert batch.powered.tolist() == [False, False, True, False]


def test_only_the_parts_that_are_named_are_shown() -> None:
    batch = TensorVectorEnv(Corridor(), only=["coin"])
    assert set(batch.reset(0)) == set(batch.parts) == {"coin"}


def test_contacts_are_told_where_the_environment_knows_them() -> None:
    contact = np.arange(24).reshape(6, 4)
    batch = TensorVectorEnv(scripted(contact=contact))
    batch.reset()
    assert batch.contact is None
    batch.step(np.zeros(4, int))
    assert batch.contact is not None
    assert batch.contact.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: TensorVectorEnv(gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="sync")),
            "must be SAME_STEP",
        ),
        (lambda: TensorVectorEnv(Corridor(), only=["colour"]), "no part 'colour'"),
        (lambda: TensorVectorEnv(Corridor(), hidden={"colour": [0]}), "no part 'colour'"),
        (lambda: TensorVectorEnv(_odd()), "Discrete is not supported"),
    ],
)
def test_an_environment_that_cannot_be_learned_in_is_refused_in_one_line(make, says: str) -> None:
    with pytest.raises(InvalidCommand, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def _odd() -> Scripted:
    env = scripted()
    env.single_observation_space = spaces.Discrete(3)
    return env


def test_a_batch_goes_back_to_a_state_of_its_environment() -> None:
    batch = corridor()
    batch.reset(3)
    kept = batch.env.state()
    seen = {name: part.clone() for name, part in batch.observation.items()}
    batch.step(np.ones(8, int))
    batch.restore(kept)
    assert all(torch.equal(seen[name], batch.observation[name]) for name in seen)
