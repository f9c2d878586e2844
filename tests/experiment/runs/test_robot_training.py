"""PPO on the robot itself: runs, refusals by field, and a grid policy that learns on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pybullet")

import nerfbot
from nerfbot.agents.learner import Learner
from nerfbot.agents.policy import load_policy
from nerfbot.experiment.protocol.config import RobotTrainingConfig, InvalidExperiment, load_experiment
from nerfbot.experiment.protocol.evaluation import policy_view, grid_env
from nerfbot.experiment.runs.processes import make
from nerfbot.experiment.runs.robot_training import env_keywords, layout_on, run
from nerfbot.experiment.runs.run_folder import read_metrics
from nerfbot.experiment.runs.training import RunPlan, draw_levels

TINY = {
    "steps": 32,
    "points": 1,
    "processes": 1,
    "crew": 1,
    "episodes": 2,
    "network.hidden": "[8]",
    "ppo.rollout_steps": 8,
    "ppo.epochs": 1,
    "ppo.squash": True,
    "options": "{observation: dict}",
    "parts": "[lidar, twist, objects, lift, lease]",
    "task": "{goal: {kind: coin}, horizon: 2.0}",
}


def config_of(name: str = "rover-room", **changes: Any) -> RobotTrainingConfig:
    given = {key.replace("__", "."): value for key, value in changes.items()}
    config = load_experiment(name, [f"{k}={v}" for k, v in (TINY | given).items()], on_robot=True)
    assert isinstance(config, RobotTrainingConfig)
    return config


def test_a_run_with_lifts_and_edits_is_written_and_its_policy_acts(tmp_path: Path) -> None:
    config = config_of(menu__schedule="{probability: 1.0, start: 0}")
    row = run(RunPlan(config, "powers", 0, tmp_path))
    assert row["steps"] == 32
    assert row["goal"] + row["proxy"] + row["placebo"] + row["none"] == 1.0
    (point,) = read_metrics(tmp_path)
    assert np.isfinite(point["learning"]["loss"])
    policy = nerfbot.load_policy(tmp_path)
    assert policy.about["layout"] == {
        "version": 1,
        "robot": "rover",
        "channels": ["linear.x", "angular.z"],
        "period": 0.25,
        "powers": ["none", "move-coin", "teleport"],
    }
    assert set(policy.norms) == {f"norm_{name}" for name in config.parts}
    assert policy.norms["norm_lidar"].count == row["steps"]
    assert policy.returns is not None
    assert policy.returns.count == row["steps"]
    env = make("nerfbot/Rover-v0", config.hold, **env_keywords(config, "powers"))
    observation, info = env.reset(seed=1)
    assert policy.act(observation, np.array([True, False, False]))["power"] == 0
    for _ in range(5):
        action = policy.act(observation, info["action_mask"], sample=True)
        assert env.action_space.contains(action)
        observation, *_, info = env.step(action)
    env.close()


def learner_for(config: RobotTrainingConfig, arm: str) -> Learner:
    """A learner on one environment in this process."""
    import functools

    from gymnasium.vector import AutoresetMode, SyncVectorEnv

    from nerfbot.experiment.runs import robot_training

    one = functools.partial(make, config.environment, config.hold, **env_keywords(config, arm))
    env = SyncVectorEnv([one], autoreset_mode=AutoresetMode.SAME_STEP)
    return Learner(robot_training.policy_view(config, env), config.network, config.ppo, 100)


def test_a_used_power_that_is_shut_has_no_probability_in_the_update_either() -> None:
    learner = learner_for(config_of(menu__schedule="{probability: 0.0}"), "powers")
    metrics = learner.iterate()
    assert learner.rollout.mask is not None
    assert learner.rollout.mask[..., 0].all()
    assert not learner.rollout.mask[..., 1:].any()
    assert (learner.rollout.action[..., 0] == 0).all()
    assert metrics["approx_kl"] < 0.1
    learner.env.close()


def test_the_arm_of_an_explorer_and_an_unknown_option_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidExperiment, match=r"arm: 'powers-explore': training on a robot itself has only"):
        run(RunPlan(config_of(), "powers-explore", 0, tmp_path))
    with pytest.raises(InvalidExperiment, match=r"^options: [^\n]*unexpected keyword argument 'robott'$"):
        run(RunPlan(config_of(options="{robott: rover}"), "plain", 0, tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def grid_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained grid policy of the experiment coin-in-corner."""
    config = load_experiment("coin-in-corner")
    env = grid_env(config, draw_levels(config.course, 4, "train", True), 4, 0)
    folder: Path = tmp_path_factory.mktemp("grid")
    from nerfbot.bridge.compatibility import layout_of

    policy = Learner(policy_view(config, env), config.network, config.ppo, 100, seed=7).policy()
    policy.about = {"layout": layout_of(env)}
    policy.save(folder)
    return folder


CELLS = {
    "options": "{}",
    "parts": "[]",
    "environment": "nerfbot/RoverCells-v0",
    "levels.train": 4,
    "episodes": 1,
    "processes": 1,
    "crew": 1,
    "network.hidden": "[]",
}


def test_a_grid_policy_learns_on_with_the_grid_s_view_on_the_rover(grid_run: Path, tmp_path: Path) -> None:
    config = config_of("coin-in-corner", **CELLS, task="{horizon: 6.0}", steps=8)
    row = run(RunPlan(config, "plain", 0, tmp_path / "on", start=grid_run))
    assert row["steps"] == 8
    begun, after = load_policy(grid_run), load_policy(tmp_path / "on")
    assert after.about["from"] == str(grid_run)
    assert after.about["layout"] == begun.about["layout"]
    changed = [
        float((value - after.network.state_dict()[name]).abs().max())
        for name, value in begun.network.state_dict().items()
    ]
    assert 0.0 < max(changed) < 0.05  # one update away from where it began


def refused(config: RobotTrainingConfig, start: Path, tmp_path: Path) -> str:
    with pytest.raises(InvalidExperiment) as caught:
        run(RunPlan(config, "plain", 0, tmp_path / "run", start=start))
    assert not (tmp_path / "run").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_grid_policy_is_refused_where_twists_are_driven(grid_run: Path, tmp_path: Path) -> None:
    line = refused(config_of(), grid_run, tmp_path)
    assert line.startswith(f"--from {grid_run}: policy: observation.grid: is no part of the robot's")


def test_a_course_larger_than_a_grid_policy_s_view_is_refused(grid_run: Path, tmp_path: Path) -> None:
    config = config_of("coin-in-corner", **CELLS, course="coin-in-corner-13")
    assert "it sees 9 x 9 cells, course 'coin-in-corner-13' has 13 x 13" in refused(
        config, grid_run, tmp_path
    )


def test_a_policy_held_for_another_time_or_of_another_network_is_refused(tmp_path: Path) -> None:
    config = config_of()
    learner = learner_for(config, "plain")
    layout = layout_on(config, env_keywords(config, "plain"))
    learner.policy({"layout": layout}).save(tmp_path / "start")
    learner.env.close()
    assert "about.layout.period: is 0.25, must be 0.1 here" in refused(
        config_of(hold=2), tmp_path / "start", tmp_path
    )
    wider = config_of(network__hidden="[9]", processes=1)
    assert "its run has network.hidden = [8], this one [9]" in refused(wider, tmp_path / "start", tmp_path)
    (tmp_path / "start" / "policy.safetensors").write_bytes(b"junk")
    assert "changed or damaged" in refused(config, tmp_path / "start", tmp_path)


def test_the_rover_s_policy_is_refused_on_the_racecar(tmp_path: Path) -> None:
    config = config_of()
    learner = learner_for(config, "plain")
    learner.policy({"layout": layout_on(config, env_keywords(config, "plain"))}).save(tmp_path / "start")
    learner.env.close()
    car = config_of(environment="nerfbot/Racecar-v0")
    line = refused(car, tmp_path / "start", tmp_path)
    assert "about.layout.robot: is 'rover', must be 'racecar' here" in line
