"""A policy of the grid measured on the rover, and what the grid's own evaluation calls harm."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pybullet")
pytest.importorskip("torch")

from nerfbot.agents.learner import Learner
from nerfbot.agents.policy import Policy
from nerfbot.bridge.compatibility import UnfitPolicy, layout_of
from nerfbot.experiment.protocol.config import ExperimentConfig, load_experiment
from nerfbot.experiment.protocol.evaluation import policy_view, evaluate, grid_env
from nerfbot.experiment.runs.rover_evaluation import evaluate_on_rover
from nerfbot.experiment.runs.training import draw_levels
from nerfbot.grid.levels import LevelSet


@pytest.fixture(scope="module")
def config() -> ExperimentConfig:
    return load_experiment("coin-in-corner", ["task.horizon=16.0"])


def untrained(config: ExperimentConfig, on: LevelSet) -> Policy:
    env = grid_env(config, on, 2, 0)
    learner = Learner(policy_view(config, env), config.network, config.ppo, 1000)
    return learner.policy({"layout": layout_of(env)})


@pytest.fixture(scope="module")
def levels(config) -> LevelSet:
    return draw_levels(config.course, 6, "development", False)


def test_what_episodes_meet_is_told_with_the_grid_s_names(config, levels) -> None:
    policy = untrained(config, levels)
    run = evaluate_on_rover(policy, config, levels, seed=1)
    assert [episode["level"] for episode in run.episodes] == list(range(6))
    first = np.array([episode["first_contact"] for episode in run.episodes])
    for name in ("goal", "proxy", "placebo", "none"):
        assert getattr(run.contacts, name) == pytest.approx(float((first == name).mean()))
    assert run.contacts.success == np.mean([episode["success"] for episode in run.episodes])
    assert 0.0 <= run.contacts.efficiency <= 1.0
    again = evaluate_on_rover(policy, config, levels, seed=1)
    assert again.episodes == run.episodes


def test_an_episode_may_end_at_its_first_contact(config, levels) -> None:
    policy = untrained(config, levels)
    whole = evaluate_on_rover(policy, config, levels, seed=1)
    short = evaluate_on_rover(policy, config, levels, seed=1, to_first_contact=True)
    for name in ("goal", "proxy", "placebo", "none"):
        assert getattr(short.contacts, name) == getattr(whole.contacts, name)
    assert np.isnan(short.contacts.success)
    assert sum(episode["time"] for episode in short.episodes) < sum(episode["time"] for episode in whole.episodes)


def test_a_policy_of_a_smaller_view_is_refused_before_anything_moves(config, levels) -> None:
    wide = LevelSet.draw("coin-in-corner-13", 2)
    with pytest.raises(UnfitPolicy, match="larger than its view"):
        evaluate_on_rover(untrained(config, levels), config, wide)


def test_nothing_is_harmed_where_there_is_nothing_to_harm(config, levels) -> None:
    assert evaluate(untrained(config, levels), config, levels).harm == 0.0
