"""Trials followed through rollouts, against what is read off a script."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from nerfbot.agents.explorers import Explorer
from nerfbot.agents.explorers.signals import Signal
from nerfbot.agents.explorers.trials import TrialBook, Trials
from nerfbot.agents.learner import Learner
from nerfbot.agents.tensor_env import TensorVectorEnv
from tests.agents.toys import SMALL, ppo, scripted

MOVES = 2


class Reward(Signal):
    """The undiscounted sum of rewards, so that a trial's score is read off the script."""

    def __init__(self) -> None:
        super().__init__(gamma=1.0)

    def per_step(self, rollout: Any) -> torch.Tensor:
        return rollout.rewards["task"]


def read(powered: list[str], ends: list[str], rollout_steps: int) -> list[list[tuple[int, int, float]]]:
    """The trials that each rollout ends, as (world, step of the choice, score), sorted.

    `powered` and `ends` hold a text a world, a mark a step: p where a power is open, t and c where the
    episode ends (terminated, cut off). The reward of step k is 2**k, so that a sum names its steps.
    """
    steps, count = len(powered[0]), len(powered)
    mask = np.ones((steps + 1, count, 4), bool)
    mask[:-1, :, MOVES:] = np.array([[mark == "p" for mark in row] for row in powered]).T[..., None]
    mask[-1, :, MOVES:] = False
    marks = np.array([list(row) for row in ends]).T
    step = np.arange(steps)[:, None] * np.ones((1, count))
    place = np.stack(
        [np.arange(steps + 1)[:, None] * np.ones((1, count))] * 3, -1
    )  # an observation tells its step
    env = scripted(
        steps,
        count,
        observation=place,
        reward=2.0**step,
        mask=mask,
        terminated=marks == "t",
        truncated=marks == "c",
    )
    config = ppo(rollout_steps=rollout_steps)
    learner = Learner(
        TensorVectorEnv(env, moves=MOVES), SMALL, config, 10**6, explorer=Explorer(), signal=Reward()
    )
    assert learner.hooks[0].trials is not None
    found = []
    for _ in range(steps // rollout_steps):
        learner.collect()
        learner.process_rewards()
        trials = learner.hooks[0].trials.read(learner.rollout)
        if trials is None:
            found.append([])
            continue
        assert (trials.action >= MOVES).all()
        assert trials.mask[:, MOVES:].all()
        for k in range(len(trials)):
            chosen = int(trials.observation[""][k, 0])
            assert trials.action[k] in env.taken[chosen]
        worlds = [_world(learner, env, trials, k) for k in range(len(trials))]
        rows = zip(worlds, trials.observation[""][:, 0].int().tolist(), trials.score.tolist(), strict=True)
        found.append(sorted(rows))
    return found


def _world(learner: Learner, env: Any, trials: Trials, row: int) -> int:
    """The world of a choice: the only one in which a power was open then and that is not accounted for."""
    step = int(trials.observation[""][row, 0])
    worlds = [
        w
        for w in range(env.num_envs)
        if env.mask[step, w, MOVES] and env.taken[step][w] == trials.action[row]
    ]
    return worlds[0]


def total(*steps: int) -> float:
    """The rewards of these steps."""
    return float(sum(2**step for step in steps))


def test_a_trial_ends_with_its_episode_and_counts_what_follows_the_power() -> None:
    assert read(["..p...."], ["....t.."], 7) == [[(0, 2, total(3, 4))]]
    assert read(["..p...."], ["....c.."], 7) == [[(0, 2, total(3, 4))]]


def test_what_comes_before_a_power_and_after_the_episode_does_not_count() -> None:
    assert read(["p...p..."], [".t....t."], 8) == [[(0, 0, total(1)), (0, 4, total(5, 6))]]


def test_several_choices_in_one_window_share_one_score() -> None:
    assert read([".ppp...."], [".....t.."], 8) == [[(0, k, total(4, 5)) for k in (1, 2, 3)]]


def test_the_next_power_closes_a_trial_and_begins_another() -> None:
    assert read(["p..p...."], ["......t."], 8) == [[(0, 0, total(1, 2)), (0, 3, total(4, 5, 6))]]


def test_a_later_window_may_hold_several_choices_as_well() -> None:
    found = read(["p..pp..."], ["......t."], 8)
    assert found == [[(0, 0, total(1, 2)), (0, 3, total(5, 6)), (0, 4, total(5, 6))]]


@pytest.mark.parametrize("rollout_steps", [1, 2, 3, 4, 6, 12])
def test_trials_are_the_same_wherever_rollouts_are_cut(rollout_steps: int) -> None:
    found = read([".pp..p......"], [".......t...."], rollout_steps)
    every = [trial for trials in found for trial in trials]
    assert sorted(every) == [(0, 1, total(3, 4)), (0, 2, total(3, 4)), (0, 5, total(6, 7))]
    ended = [5, 7]  # a trial is told of in the rollout in which it ends
    rollouts = {step // rollout_steps for step in ended}
    assert {k for k, trials in enumerate(found) if trials} == rollouts


def test_a_power_whose_step_ends_the_episode_scores_nothing() -> None:
    assert read([".p......"], [".t......"], 8) == [[(0, 1, 0.0)]]


def test_a_trial_that_has_not_ended_is_not_told_of() -> None:
    assert read(["..p....."], ["........"], 4) == [[], []]


def test_worlds_do_not_disturb_one_another() -> None:
    found = read(
        ["p.......", ".p......", "...p....", "........"],
        ["..t.....", ".......t", ".....c..", "...t...."],
        4,
    )
    assert found == [[(0, 0, total(1, 2))], [(1, 1, total(2, 3, 4, 5, 6, 7)), (2, 3, total(4, 5))]]


def test_a_book_goes_on_from_its_state_as_it_would_have() -> None:
    mask = np.ones((13, 2, 4), bool)
    mask[:, :, MOVES:] = False
    mask[[1, 2, 7], [0, 1, 1], 2:] = True
    ends = np.zeros((12, 2), bool)
    ends[[9, 10], [0, 1]] = True
    env = scripted(12, 2, mask=mask, terminated=ends)
    learner = Learner(
        TensorVectorEnv(env, moves=MOVES), SMALL, ppo(), 10**6, explorer=Explorer(), signal=Reward()
    )
    book = learner.hooks[0].trials
    assert book is not None
    learner.collect()
    learner.process_rewards()
    assert book.read(learner.rollout) is None
    state = book.state_dict()
    other = TrialBook(learner.env, Reward())
    other.load_state_dict(state)
    learner.collect()
    learner.process_rewards()
    first, second = book.read(learner.rollout), other.read(learner.rollout)
    assert first is not None
    assert second is not None
    assert torch.equal(first.score, second.score)
    assert torch.equal(first.action, second.action)
    assert len(first) == 3
    again = TrialBook(learner.env, Reward())
    again.load_state_dict(state)  # which reading on has not changed
    assert torch.equal(again.read(learner.rollout).score, first.score)


def test_trials_are_selected_and_joined() -> None:
    trials = Trials(
        {"x": torch.arange(6.0).view(3, 2)},
        torch.eye(3, dtype=torch.bool),
        *(torch.arange(3.0) for _ in range(3)),
    )
    both = Trials.joined([trials, trials.select(slice(-1, None))])
    assert both.score.tolist() == [0, 1, 2, 2]
    assert both.observation["x"][-1].tolist() == [4, 5]
    assert trials.select(torch.tensor([True, False, True])).action.tolist() == [0, 2]
