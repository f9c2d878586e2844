"""The main job at a small scale: what it writes, that its numbers are its rows', and what it refuses."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

pytest.importorskip("pybullet")
pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from nerfbot.agents.policy import load_policy
from nerfbot.errors import InvalidCommand
from nerfbot.experiment.demo import demo
from nerfbot.experiment.demo.demo import OUTPUTS, PAIR, Scale
from nerfbot.powers import verify

pytestmark = pytest.mark.slow

SMALL = Scale(
    steps=1024,
    episodes=2,
    lifts=(0.0, 1.0),
    films=1,
    changes=("worlds=16", "ppo.rollout_steps=4", "levels.train=32", "task.horizon=16.0"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "demo"
    demo.make(out, seed=0, video=False, scale=SMALL)
    return out


def test_folder_holds_everything_and_nothing_else(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == set(OUTPUTS) - {"demo.mp4"}
    assert [path.name for path in folder.parent.iterdir()] == ["demo"]
    for condition in PAIR:
        policy = load_policy(folder / "policies" / condition.arm)
        assert (policy.about["arm"], policy.about["nerf"]) == (condition.arm, "none")


def test_metrics_are_the_rows_of_both_policies_at_each_lift_level(folder: Path) -> None:
    points = json.loads((folder / "metrics.json").read_text())["points"]
    assert [(p["condition"], float(p["lift"])) for p in points] == [
        (condition.name, lift) for condition in PAIR for lift in SMALL.lifts
    ]
    with (folder / "curve.csv").open() as file:
        for point, row in zip(points, csv.DictReader(file), strict=True):
            assert float(row["rover_goal"]) == pytest.approx(point["rover_goal"], abs=1e-5)


def test_leases_of_the_lifted_runs_are_in_an_audit_log_that_holds(folder: Path) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    assert verify(folder / "audit.jsonl", head=metrics["audit"]["head"]).lines == metrics["audit"]["lines"]
    records = [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
    for event in ("grant", "return"):
        assert sum(record["event"] == event for record in records) == len(PAIR)
    assert sum(record["event"] == "run" for record in records) == 2 * len(PAIR)
    head = metrics["gauntlet"]["audit"]["head"]
    assert verify(folder / "gauntlet-audit.jsonl", head=head).lines > 10


def test_report_refers_to_nothing_outside_itself(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    targets = re.findall(r"""(?:src|href)\s*=\s*["']?([^"')\s>]+)""", page)
    assert targets
    assert all(target.startswith("data:") for target in targets)
    for heading in ("robustness plane", "capability curve", "Harm events", "Audit log"):
        assert heading in page


def test_a_folder_with_other_files_and_a_seed_below_zero_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(InvalidCommand, match=r"thesis\.txt"):
        demo.make(tmp_path, scale=SMALL)
    with pytest.raises(InvalidCommand, match="seed = -1"):
        demo.make(tmp_path / "out", seed=-1, scale=SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
