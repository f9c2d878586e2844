"""One update: ratios, masks, what falls with time, and what stops early."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from nerfbot.agents.learner import Learner
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.ppo import PPOConfig
from nerfbot.agents.tensor_env import TensorVectorEnv
from tests.agents.toys import SMALL, Corridor, Toy, ppo, scripted


class Maps(Toy):
    """Random maps of 5 x 5 cells with one agent, random masks of four actions, ends now and then."""

    def __init__(self, count: int = 6, masked: bool = True) -> None:
        top = np.broadcast_to(np.array([31, 15, 127], np.uint8), (5, 5, 3)).copy()
        parts = {
            "grid": spaces.Box(np.zeros_like(top), top, dtype=np.uint8),
            "vector": spaces.Box(-1, 1, (3,)),
        }
        super().__init__(count, spaces.Dict(parts), spaces.Discrete(4))
        self.masked = masked

    def _told(self) -> tuple[Any, dict[str, Any]]:
        rng, count = self.rng, self.num_envs
        grid = rng.integers(1, 6, (count, 5, 5, 3), dtype=np.uint8)
        agent = rng.integers(0, 5, (2, count))
        grid[np.arange(count), agent[0], agent[1], 2] |= 64
        mask = rng.random((count, 4)) < 0.6
        mask[np.arange(count), rng.integers(0, 4, count)] = True
        seen = {"grid": grid, "vector": rng.uniform(-1, 1, (count, 3)).astype(np.float32)}
        return seen, {"action_mask": mask} if self.masked else {}

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.rng = np.random.default_rng(seed)
        return self._told()

    def step(self, actions: Any) -> Any:
        reward = self.rng.normal(size=self.num_envs).astype(np.float32)
        ended = self.rng.random((2, self.num_envs)) < 0.15
        final, _ = self._told()
        seen, info = self._told()
        rows = np.full(self.num_envs, None, object)
        for world in range(self.num_envs):
            rows[world] = {name: part[world] for name, part in final.items()}
        return seen, reward, ended[0], ended[1] & ~ended[0], {**info, "final_obs": rows}


NETWORKS = {
    "mlp": NetworkConfig(hidden=(16, 16)),
    "separate": NetworkConfig(hidden=(16,), separate=True),
    "conv": NetworkConfig(kind="conv", hidden=(16,), channels=4, blocks=1, embedding=4),
    "egocentric": NetworkConfig(kind="egocentric", hidden=(16, 16)),
    "recurrent": NetworkConfig(hidden=(16,), memory=8),
    "recurrent egocentric": NetworkConfig(kind="egocentric", hidden=(16, 16), memory=8),
}


def filled(network: NetworkConfig, masked: bool = True, iterations: int = 2, **changes: Any) -> Learner:
    """A learner whose rollout is complete and whose network has learned from the one before."""
    learner = Learner(TensorVectorEnv(Maps(masked=masked)), network, ppo(**changes), 10_000)
    for _ in range(iterations - 1):
        learner.iterate()
    learner.collect()
    learner.process_rewards()
    return learner


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("masked", [True, False])
def test_before_the_first_step_of_an_update_every_ratio_is_one(network: NetworkConfig, masked: bool) -> None:
    learner = filled(network, masked, learning_rate=3e-2)
    ppo, seen = learner.ppo, 0
    for batch in ppo.minibatches(learner.rollout):
        assert (batch.mask is not None) == masked
        output = ppo.forward(batch)
        log_prob, _ = learner.network.head.evaluate(output.policy, batch.action, batch.mask)
        assert torch.allclose((log_prob - batch.log_prob).exp(), torch.ones(len(log_prob)), atol=1e-5)
        terms = ppo.loss(batch, output, 0.0)
        assert float(terms[4]) == pytest.approx(0.0, abs=1e-6)
        assert float(terms[5]) == 0.0
        seen += len(log_prob)
    assert seen == learner.rollout.size


def test_a_mask_that_was_forgotten_in_the_update_would_be_seen() -> None:
    learner = filled(NETWORKS["mlp"], learning_rate=3e-2)
    batch = next(learner.ppo.minibatches(learner.rollout))
    forgotten, _ = learner.network.head.evaluate(learner.ppo.forward(batch).policy, batch.action, None)
    assert ((forgotten - batch.log_prob).exp() - 1).abs().max() > 0.1


@pytest.mark.parametrize("name", ["mlp", "recurrent"])
def test_a_minibatch_holds_each_transition_once_with_the_mask_it_was_taken_under(name: str) -> None:
    learner = filled(NETWORKS[name])
    rollout = learner.rollout
    marks = torch.arange(rollout.size, dtype=torch.float32).view(rollout.steps, rollout.count)
    rollout.log_prob.copy_(marks)
    seen = []
    for batch in learner.ppo.minibatches(rollout):
        rows = batch.log_prob.long()
        seen += rows.tolist()
        assert rollout.mask is not None
        assert torch.equal(batch.mask, rollout.mask.flatten(0, 1)[rows])
        assert torch.equal(batch.action, rollout.action.flatten()[rows])
        assert torch.equal(batch.returns["task"], rollout.returns["task"].flatten()[rows])
    assert sorted(seen) == list(range(rollout.size))


@pytest.mark.parametrize("name", ["recurrent", "recurrent egocentric"])
def test_a_sequence_gives_what_single_steps_give_with_episodes_that_begin_inside(name: str) -> None:
    learner = filled(NETWORKS[name])
    network, rollout = learner.network, learner.rollout
    assert rollout.hidden_state is not None
    assert rollout.is_first[1:].any()
    assert rollout.hidden_state.abs().sum() > 0
    with torch.no_grad():
        whole = network.sequence(rollout.flat_observation(), rollout.hidden_state, rollout.is_first)
        memory = rollout.hidden_state
        for step in range(rollout.steps):
            memory = memory * ~rollout.is_first[step].unsqueeze(1)
            one = network({part: x[step] for part, x in rollout.observation.items()}, memory)
            memory = one.hidden_state
            rows = slice(step * rollout.count, (step + 1) * rollout.count)
            assert torch.allclose(whole.policy[rows], one.policy, atol=1e-6)
            assert torch.allclose(whole.values["task"][rows], one.values["task"], atol=1e-6)
    assert torch.allclose(whole.hidden_state, memory, atol=1e-6)


def test_memory_matters_and_does_not_reach_across_an_episodes_start() -> None:
    learner = filled(NETWORKS["recurrent"])
    network, rollout = learner.network, learner.rollout
    first = torch.zeros_like(rollout.is_first)
    first[3] = True
    with torch.no_grad():
        some = network.sequence(rollout.flat_observation(), torch.zeros(6, 8), first).policy.view(6, 6, -1)
        other = network.sequence(rollout.flat_observation(), torch.ones(6, 8), first).policy.view(6, 6, -1)
    assert not torch.allclose(some[:3], other[:3])
    assert torch.equal(some[3:], other[3:])


def test_the_learning_rate_and_the_entropys_weight_fall_as_told() -> None:
    config = {"learning_rate": 1e-2, "final_learning_rate": 0.1, "entropy": 0.5, "final_entropy": 0.2}
    learner = filled(NETWORKS["mlp"], epochs=1, minibatches=1, **config)
    for left in (1.0, 0.5, 0.0):
        told = learner.ppo.update(learner.rollout, left)
        assert told["learning_rate"] == pytest.approx(1e-2 * (0.1 + 0.9 * left))
        assert learner.ppo.optimiser.param_groups[0]["lr"] == told["learning_rate"]
        weight = (told["policy_loss"] + 0.5 * told["value_loss"] - told["loss"]) / told["entropy"]
        assert weight == pytest.approx(0.5 * (0.2 + 0.8 * left), rel=1e-3)


def test_a_run_of_the_learner_tells_ppo_how_much_of_it_is_left() -> None:
    learner = Learner(TensorVectorEnv(Maps()), SMALL, ppo(learning_rate=1e-2), 36 * 4)
    rates = [learner.iterate()["learning_rate"] for _ in range(4)]
    assert rates == pytest.approx([1e-2, 0.75e-2, 0.5e-2, 0.25e-2])


def test_target_kl_stops_the_epochs() -> None:
    steps = []
    for target in (None, 1e9, 1e-12):
        learner = filled(
            NETWORKS["mlp"], iterations=1, epochs=10, minibatches=2, learning_rate=1e-2, target_kl=target
        )
        learner.ppo.update(learner.rollout)
        counts = {int(state["step"]) for state in learner.ppo.optimiser.state.values()}
        steps += counts
    assert steps == [20, 20, 2]


def test_a_clipped_value_is_taught_no_further_than_the_clip() -> None:
    learner = filled(NETWORKS["mlp"], clip_value=0.1, epochs=1, minibatches=1)
    ppo, rollout = learner.ppo, learner.rollout
    batch = next(ppo.minibatches(rollout))
    old = batch.values["task"]
    wanted = old + torch.linspace(-1, 1, len(old))
    for away in (-0.4, 0.05, 0.4):
        value = (old + away).requires_grad_()
        shifted = replace(batch, returns={"task": wanted})
        output = learner.network(rollout.flat_observation())
        terms = ppo.loss(shifted, output._replace(values={"task": value}), 0.0)
        near = old + np.clip(away, -0.1, 0.1)
        pieces = torch.maximum((value - wanted).square(), (near - wanted).square())
        assert float(terms[2].detach()) == pytest.approx(float(0.5 * pieces.mean().detach()), rel=1e-5)
        terms[2].backward()
        assert value.grad is not None
        # Beyond the clip nothing pulls, unless the value is on the wrong side.
        beyond = ((near - wanted).square() > (value - wanted).square()) & (abs(away) > 0.1)
        assert (value.grad[beyond] == 0).all()
        assert (value.grad[~beyond] != 0).all()


def test_advantages_are_normalised_over_the_transitions_that_take_part() -> None:
    learner = filled(NETWORKS["mlp"], epochs=1, minibatches=1)
    batch = next(learner.ppo.minibatches(learner.rollout))
    weight = (torch.arange(36) % 3 > 0).float()
    batch = replace(batch, weight=weight, advantage=torch.where(weight > 0, batch.advantage, 1e6))
    _, policy_loss, *_ = learner.ppo.loss(batch, learner.ppo.forward(batch), 0.0)
    assert abs(float(policy_loss.detach())) < 1e-5  # ratios are 1, so that it is minus the mean advantage: 0


def test_a_rollout_in_which_nothing_takes_part_changes_nothing() -> None:
    learner = filled(NETWORKS["mlp"], iterations=1)
    before = [p.detach().clone() for p in learner.network.parameters()]
    learner.rollout.powered[:] = True
    told = learner.ppo.update(learner.rollout)
    assert all(np.isfinite(value) for value in told.values())
    assert all(torch.equal(a, b) for a, b in zip(before, learner.network.parameters(), strict=True))


@pytest.mark.parametrize("name", ["mlp", "conv", "egocentric", "recurrent"])
def test_learning_in_bfloat16_keeps_ratios_near_one_and_numbers_finite(name: str) -> None:
    learner = filled(NETWORKS[name], precision="bfloat16")
    told = learner.ppo.update(learner.rollout)
    assert all(np.isfinite(value) for value in told.values())
    assert told["approx_kl"] < 0.05
    assert all(p.dtype == torch.float32 for p in learner.network.parameters())


def test_several_choices_and_boxes_learn_in_the_same_way() -> None:
    for space in (
        spaces.MultiDiscrete([3, 2]),
        spaces.Box(-1.0, 1.0, (2,)),
        spaces.Tuple([spaces.Discrete(3), spaces.Box(-1.0, 1.0, (1,))]),
    ):
        learner = Learner(TensorVectorEnv(scripted(action=space)), SMALL, ppo(), 100)
        learner.collect()
        learner.process_rewards()
        for batch in learner.ppo.minibatches(learner.rollout):
            output = learner.ppo.forward(batch)
            log_prob, _ = learner.network.head.evaluate(output.policy, batch.action, None)
            assert torch.allclose(log_prob, batch.log_prob, atol=1e-5)
        assert learner.ppo.update(learner.rollout)["gradient_norm"] > 0


@pytest.mark.parametrize(
    "wrong", [{"gamma": 1.5}, {"epochs": 0}, {"learning_rate": 0.0}, {"clip": float("inf")}, {"lamda": 0.9}]
)
def test_numbers_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PPOConfig(**wrong)


def test_the_corridor_is_learned() -> None:
    config = PPOConfig(rollout_steps=16, learning_rate=3e-3, epochs=4)
    learner = Learner(TensorVectorEnv(Corridor(16, powers=False)), SMALL, config, 16 * 16 * 30)
    rewards = []
    for _ in range(30):
        learner.iterate()
        rewards.append(float(learner.rollout.rewards["task"].mean()))
    assert np.mean(rewards[:2]) < 0.15
    assert np.mean(rewards[-5:]) > 0.25  # the best is one reward in 3 or 4 steps
