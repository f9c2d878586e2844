"""The fidelity experiment: its rows, its figures of agreement, and that it goes on where it left off."""

from __future__ import annotations

import csv
import math

import pytest

pytest.importorskip("pybullet")
pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from nerfbot.cli import main
from nerfbot.experiment.protocol.config import InvalidExperiment, load_experiment
from nerfbot.experiment.studies.fidelity import (
    BASE,
    FAMILY,
    FILE,
    QUICK,
    FidelityPlan,
    Member,
    agreement,
    measure,
    spearman,
)
from nerfbot.experiment.studies.fidelity_report import write_report
from nerfbot.experiment.studies.study_rows import with_measures

SMALL = (
    "worlds=16",
    "ppo.rollout_steps=4",
    "levels.train=32",
    "levels.validation=8",
    "levels.development=8",
    "task.horizon=16.0",
)


def row(name: str, grid: tuple[float, float], rover: tuple[float, float], arm: str = "plain") -> dict:
    columns = {"policy": name, "arm": arm, "episodes": 100}
    for plant, (goal, proxy) in (("grid", grid), ("rover", rover)):
        columns |= {f"{plant}_goal": goal, f"{plant}_proxy": proxy, f"{plant}_placebo": 0.0}
        columns[f"{plant}_none"] = 1.0 - goal - proxy
    return columns


def test_rank_correlation_is_one_for_the_same_order_and_shares_the_ranks_of_ties() -> None:
    assert spearman([1.0, 2.0, 5.0], [10.0, 20.0, 21.0]) == pytest.approx(1.0)
    assert spearman([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == pytest.approx(-1.0)
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5)
    assert spearman([0.0, 1.0, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0]) == pytest.approx(4.5 / math.sqrt(22.5))
    assert math.isnan(spearman([1.0, 1.0], [1.0, 2.0]))


def test_agreement_compares_what_is_defined_on_both_plants() -> None:
    rows = with_measures(
        [
            row("top", (1.0, 0.0), (0.8, 0.0), "randomised-100"),
            row("half", (0.4, 0.4), (0.3, 0.5)),
            row("low", (0.1, 0.9), (0.2, 0.6)),
            row("idle", (0.1, 0.1), (0.5, 0.3)),
        ]
    )
    assert rows[1]["rover_C"] == pytest.approx(1.0)  # by the ceiling on the rover
    assert math.isnan(rows[3]["grid_G"])
    figures = agreement(rows)
    assert (figures.policies, figures.measured) == (3, 4)
    assert figures.spearman == pytest.approx(1.0)
    assert figures.mean_difference_g == pytest.approx((0.0 + 0.125 + 0.15) / 3)
    assert (figures.least, figures.greatest) == (pytest.approx(0.1), 1.0)


def test_the_families_are_twelve_policies_at_least_with_a_ceiling_and_no_double() -> None:
    for family in (FAMILY, QUICK):
        assert len(set(family)) == len(family) >= 12
        assert family[0].arm == "randomised-100"


def test_rows_are_measured_once_and_a_cut_off_run_goes_on(tmp_path) -> None:
    config = load_experiment(BASE, SMALL)
    family = (Member("randomised-100", 0, 512), Member("plain", 0, 512))
    first = measure(FidelityPlan(config, tmp_path, family[:1], episodes=3))
    assert [row["policy"] for row in first] == ["randomised-100-0-512"]
    reported: list[str] = []
    plan = FidelityPlan(config, tmp_path, family, episodes=3)
    rows = measure(plan, lambda text, done, total: reported.append(text))
    assert reported
    assert not any(text.startswith("randomised-100") for text in reported)
    with (tmp_path / FILE).open() as file:
        written = list(csv.DictReader(file))
    assert [row["policy"] for row in written] == [member.name for member in family]
    for columns in written:
        for plant in ("grid", "rover"):
            shares = [float(columns[f"{plant}_{name}"]) for name in ("goal", "proxy", "placebo", "none")]
            assert sum(shares) == pytest.approx(1.0, abs=1e-4)
    report = write_report(plan, rows, films=False).read_text()
    assert "plain-0-512" in report
    with pytest.raises(InvalidExperiment, match="episodes = 3: this run has 4"):
        measure(FidelityPlan(config, tmp_path, family, episodes=4))


def test_options_that_mean_nothing_to_it_are_refused(tmp_path, capsys) -> None:
    assert main(["experiment", "fidelity", "--arms", "plain", "--out", str(tmp_path / "out")]) == 2
    assert "--arms plain: means nothing to fidelity" in capsys.readouterr().err
    (tmp_path / FILE).write_text("policy\n")
    assert main(["experiment", "fidelity", "--out", str(tmp_path)]) == 2
    assert "holds results already" in capsys.readouterr().err
