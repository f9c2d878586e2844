"""Which worlds the arms of an experiment begin their episodes in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nerfbot.agents.curricula import EditedWorldReplay, Yoked
from nerfbot.experiment.protocol.arms import load_arm
from nerfbot.experiment.protocol.config import ExperimentConfig, load_experiment
from nerfbot.experiment.runs.training import VISITED, EpisodeCounts, RunPlan, _learner, run

SMALL = [
    *("steps=2048", "worlds=64", "points=1", "network.kind=mlp", "network.hidden=[16]"),
    *("levels.train=32", "levels.validation=8", "levels.development=8"),
    "explorer.signal=reward-surprise",
]
REPLAY = "replay={share: 0.3, worlds: 64, restarts: 8}"


def small(*changes: str) -> ExperimentConfig:
    return load_experiment("coin-in-corner", [*SMALL, *changes])


def curriculum_of(config: ExperimentConfig, arm: str, folder: Path) -> object:
    return _learner(RunPlan(config, arm, 0, folder / arm / "0"), load_arm(arm), EpisodeCounts()).curriculum


@pytest.mark.parametrize("arm", ["powers-explore", "random-powers", "powers", "shuffled-explorer"])
def test_every_arm_with_powers_replays_edited_worlds_where_the_experiment_says_so(
    arm: str, tmp_path: Path
) -> None:
    curriculum = curriculum_of(small(REPLAY), arm, tmp_path)
    assert isinstance(curriculum, EditedWorldReplay)
    assert (curriculum.share, curriculum.spare, curriculum.restarts) == (0.3, 64, 8)
    assert not isinstance(curriculum_of(small(), arm, tmp_path), EditedWorldReplay)


def test_arms_without_powers_have_nothing_to_replay(tmp_path: Path) -> None:
    for arm in ("plain", "randomised-100", "bonus-only"):
        assert curriculum_of(small(REPLAY), arm, tmp_path) is None


@pytest.mark.parametrize(("changes", "share"), [((), 0.1), ((REPLAY,), 0.4)])
def test_a_yoked_run_begins_as_many_episodes_in_edited_worlds_as_its_twin(
    changes: tuple[str, ...], share: float, tmp_path: Path
) -> None:
    (tmp_path / "powers-explore" / "0").mkdir(parents=True)
    np.savez(
        tmp_path / "powers-explore" / "0" / VISITED,
        taken=np.zeros(0, np.int64),
        cells=np.zeros((0, 9, 9, 3), np.uint8),
    )
    curriculum = curriculum_of(small(*changes), "yoked", tmp_path)
    assert isinstance(curriculum, Yoked)
    assert curriculum.share == pytest.approx(share)


def test_a_row_says_which_share_of_the_steps_was_replayed_and_distinguishing(tmp_path: Path) -> None:
    changes = ("menu.powers=[move-coin]", "steps=32768")
    rows = [
        run(RunPlan(small(*changes, *more), "random-powers", 0, tmp_path / str(len(more))))
        for more in ((), (REPLAY,))
    ]
    assert rows[0]["replayed_steps"] == 0.0
    assert 0.1 < rows[1]["replayed_steps"] < 0.8
    assert rows[1]["alpha_eff_steps"] > 1.5 * rows[0]["alpha_eff_steps"] > 0.0
    assert (tmp_path / "1" / VISITED).exists(), "for a run that is yoked to it"
