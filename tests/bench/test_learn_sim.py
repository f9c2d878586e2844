"""What the benchmark of training on robots measures: its figures by name, and that both really train."""

from __future__ import annotations

import pytest

pytest.importorskip("pybullet")
pytest.importorskip("torch")

from nerfbot.bench import learn_sim


def test_the_figures_of_training_on_two_processes_and_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn_sim, "SIZE", 64)
    monkeypatch.setattr(learn_sim, "ROUNDS", 2)
    figures = {figure.name: figure for figure in learn_sim.figures()}
    assert list(figures) == [
        "sim_steps_per_s",
        "sim_two_process_ratio",
        "sim_two_process_environment_ratio",
        "sim_learner_share",
    ]
    rate, ratio = figures["sim_steps_per_s"], figures["sim_two_process_ratio"]
    assert rate.against is not None
    assert ratio.value == pytest.approx(rate.value / rate.against.value)
    assert 0.0 < figures["sim_learner_share"].value < 1.0
