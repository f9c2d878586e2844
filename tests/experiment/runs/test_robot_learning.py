"""PPO on the rover in PyBullet learns: many more coins than before, in a small room."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pybullet")
pytest.importorskip("torch")

from nerfbot.experiment.protocol.config import load_experiment
from nerfbot.experiment.runs.robot_training import run
from nerfbot.experiment.runs.training import RunPlan


@pytest.mark.slow
def test_the_rover_learns_to_drive_to_the_coin_in_a_small_room(tmp_path: Path) -> None:
    config = load_experiment("rover-room", ["episodes=20", "points=1"], on_robot=True)
    before = run(RunPlan(config, "random-policy", 0, tmp_path / "before"))
    after = run(RunPlan(config, "plain", 0, tmp_path / "after"))
    assert before["success"] < 0.4  # 0.11 of 100 episodes
    assert after["success"] > 0.7  # 0.98
    assert after["train_success"] > before["train_success"] + 0.4
