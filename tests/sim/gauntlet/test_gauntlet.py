"""The main job, without its video: what it writes, its outcomes, and that a seed decides the numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("pybullet")

from nerfbot.course import load_course
from nerfbot.errors import InvalidCommand
from nerfbot.limits import AXES
from nerfbot.powers import AuditLog, verify
from nerfbot.sim.gauntlet import gauntlet
from nerfbot.sim.gauntlet.report import metrics, read_records
from nerfbot.sim.gauntlet.runs import drive_all
from nerfbot.sim.plant.plant import Plant
from nerfbot.sim.plant.snapshot import show, take

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "demo"
    gauntlet.make(out, seed=0, video=False)
    return out


@pytest.fixture(scope="module")
def numbers(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_folder_holds_everything_and_nothing_else(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == set(gauntlet.OUTPUTS) - {"demo.mp4"}
    assert [path.name for path in folder.parent.iterdir()] == ["demo"]


def test_nerfed_run_fails_at_every_obstacle(numbers: dict) -> None:
    run = numbers["runs"]["nerfed"]
    assert not run["success"]
    assert sorted(run["failed_at"]) == sorted(AXES)
    assert run["leases"] == {"granted": 0, "refused": 0, "expired": 0}
    assert set(run["max_lift"].values()) == {0.0}


def test_leases_in_the_lift_zones_pass_every_obstacle(numbers: dict) -> None:
    run = numbers["runs"]["leases"]
    assert run["success"]
    assert run["failed_at"] == []
    assert run["teleports_by_the_demo"] == 0
    assert run["leases"]["granted"] >= len(AXES)
    assert set(run["max_lift"].values()) == {1.0}


def test_lease_asked_for_outside_is_refused_and_the_block_is_not_passed(numbers: dict) -> None:
    run = numbers["runs"]["outside"]
    assert run["refusals"] == ["outside-region"]
    assert run["failed_at"] == ["strength"]
    assert run["passed"] == []
    assert run["leases"]["granted"] == 0


def test_audit_log_holds_and_its_head_is_told(folder: Path, numbers: dict) -> None:
    summary = verify(folder / "audit.jsonl", head=numbers["audit"]["head"])
    assert summary.lines == numbers["audit"]["lines"]
    assert summary.head in (folder / "report.html").read_text()


def test_report_refers_to_nothing_outside_itself(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    targets = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", page)
    assert targets
    assert all(target.startswith("data:image/jpeg;base64,") for target in targets)
    assert not re.search(r"https?://|<script|<link|@import", page)


def test_a_seed_decides_every_number_but_the_wall_clock(tmp_path: Path, numbers: dict) -> None:
    with AuditLog(tmp_path / "audit.jsonl") as audit:
        runs = drive_all(audit, seed=0)
    again = json.loads(json.dumps(metrics(runs, read_records(audit.path))))
    for run in (*again.values(), *numbers["runs"].values()):
        run.pop("wall_seconds", None)
    assert again == numbers["runs"]
    assert audit.head == numbers["audit"]["head"]


def test_failure_leaves_the_earlier_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "demo"
    out.mkdir()
    (out / "metrics.json").write_text("{}")

    def fail(*arguments: object) -> None:
        raise InvalidCommand("no")

    monkeypatch.setattr(gauntlet, "drive_all", fail)
    with pytest.raises(InvalidCommand):
        gauntlet.make(out, video=False)
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    assert (out / "metrics.json").read_text() == "{}"


def test_snapshot_puts_every_body_back() -> None:
    with Plant(load_course("strength")) as plant:
        before = take(plant)
        for _ in range(20):
            plant.step([0.3, 0.5])
        after = take(plant)
        assert after != before
        show(plant, before)
        again = take(plant)
        for (place, turn), (place_again, turn_again) in zip(before.bodies, again.bodies, strict=True):
            assert place_again == pytest.approx(place)
            assert turn_again == pytest.approx(turn)
        assert again.joints == pytest.approx(before.joints)
