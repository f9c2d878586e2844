"""A run's folder stands alone: it holds the files that it was made with, and notices when they change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nerfbot.agents.policy import load_policy
from nerfbot.course.parser import CATALOGUE
from nerfbot.experiment.protocol.config import InvalidExperiment, RobotTrainingConfig, load_experiment
from nerfbot.experiment.runs.inputs import changes, described, keep_inputs, with_inputs
from nerfbot.limits.spec import PRESETS

SMALL = {
    "name": "mine",
    "course": "courses/mine.yaml",
    "nerf": "nerfs/soft.yaml",
    "steps": 512,
    "worlds": 16,
    "points": 1,
    "levels": {"train": 16, "validation": 8, "development": 16, "test": 8},
    "ppo": {"rollout_steps": 16},
    "network": {"hidden": [8]},
}


def write_mine(folder: Path) -> Path:
    """A configuration with its own course and nerf beside it."""
    for name, source in (
        ("courses/mine.yaml", CATALOGUE / "coin-in-corner.yaml"),
        ("nerfs/soft.yaml", PRESETS / "rover-weak.yaml"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / name)
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return path


def nerfbot(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", "from nerfbot.cli import main; raise SystemExit(main())", *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)


def test_paths_are_from_the_folder_of_the_file_that_names_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_mine(tmp_path / "conf")
    config = load_experiment("conf/train.yaml")
    assert (config.course, config.nerf) == ("conf/courses/mine.yaml", "conf/nerfs/soft.yaml")


def test_a_change_on_the_command_line_is_from_the_shells_folder(tmp_path):
    config = load_experiment(write_mine(tmp_path), ["course=other.yaml"])
    assert config.course == "other.yaml"


def test_a_folder_keeps_course_nerf_and_robot_with_its_urdf(tmp_path):
    path = write_mine(tmp_path / "conf")
    data = {**SMALL, "environment": "nerfbot/Rover-v0", "nerf": "rover-weak"}
    path.write_text(yaml.safe_dump(data))
    config = load_experiment(path, on_robot=True)
    keep_inputs(config, tmp_path / "run")
    kept = with_inputs(config, tmp_path / "run")
    assert isinstance(kept, RobotTrainingConfig)
    for file in (kept.course, kept.nerf, kept.options["robot"]):
        assert Path(file).is_relative_to(tmp_path / "run")
    assert (Path(kept.options["robot"]).parent / "rover.urdf").is_file()


def write_robot(folder: Path) -> Path:
    """A configuration with a robot of its own, whose URDF names a mesh with a blank in its name."""
    path = write_mine(folder)
    (folder / "robots/parts").mkdir(parents=True)
    (folder / "robots/parts/a wheel.obj").write_text("v 0 0 0\n")
    mesh = "<robot name='own'><link name='base'><visual><geometry><mesh filename='parts/a wheel.obj'/>"
    (folder / "robots/my robot.urdf").write_text(f"{mesh}</geometry></visual></link></robot>")
    (folder / "robots/own.yaml").write_text("name: own\nurdf: my robot.urdf\nchannels: []\n")
    data = {**SMALL, "environment": "nerfbot/Rover-v0", "options": {"robot": "robots/own.yaml"}}
    path.write_text(yaml.safe_dump(data))
    return path


def test_a_robots_meshes_are_kept_and_compared(tmp_path):
    config = load_experiment(write_robot(tmp_path / "conf"), on_robot=True)
    hashes = keep_inputs(config, tmp_path / "run")
    kept = tmp_path / "run/inputs/robot"
    assert {str(path.relative_to(kept)) for path in kept.rglob("*.*")} == {
        "own.yaml",
        "my robot.urdf",
        "parts/a wheel.obj",
    }
    (tmp_path / "conf/robots/parts/a wheel.obj").write_text("v 1 0 0\n")
    assert changes(tmp_path / "run", hashes) == ["robot: ../conf/robots/own.yaml has changed since"]


def test_a_robots_run_is_the_same_from_another_folder(tmp_path, monkeypatch):
    path = write_mine(tmp_path / "conf")
    path.write_text(yaml.safe_dump({**SMALL, "environment": "nerfbot/Rover-v0"}))
    config = load_experiment(path, on_robot=True)
    hashes = keep_inputs(config, tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert changes(Path("../run"), hashes) == []


def test_a_course_without_a_suffix_is_a_file_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_mine(tmp_path)
    shutil.move("courses/mine.yaml", "courses/mine")
    config = load_experiment("train.yaml", ["course=courses/mine"])
    hashes = keep_inputs(config, Path("run"))
    assert Path(with_inputs(config, Path("run")).course) == Path("run/inputs/course/mine")
    Path("courses/mine").write_text("changed")
    assert changes(Path("run"), hashes) == ["course: ../courses/mine has changed since"]


def test_a_course_that_is_not_there_names_the_field(tmp_path):
    config = load_experiment(write_mine(tmp_path), ["tests={far: nowhere}"])
    with pytest.raises(InvalidExperiment, match="tests.far: nowhere: cannot be read"):
        keep_inputs(config, tmp_path / "run")


@pytest.mark.slow
def test_a_run_is_measured_elsewhere_and_says_what_changed(tmp_path):
    write_mine(tmp_path / "conf")
    trained = nerfbot("train", "conf/train.yaml", "--out", "run", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    before = nerfbot("evaluate", "../run", "--json", cwd=elsewhere)
    assert before.returncode == 0, before.stderr

    course = tmp_path / "conf/courses/mine.yaml"
    course.write_text(course.read_text().replace("horizon:", "horizon: 7 #"))
    refused = nerfbot("evaluate", "../run", "--json", cwd=elsewhere)
    assert refused.returncode == 2
    assert "course:" in refused.stderr
    assert "--allow-changed" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    allowed = nerfbot("evaluate", "../run", "--allow-changed", "--json", cwd=elsewhere)
    assert json.loads(allowed.stdout) == json.loads(before.stdout)

    shutil.move(tmp_path / "run", elsewhere / "moved")
    shutil.rmtree(tmp_path / "conf")
    moved = nerfbot("evaluate", "moved", "--json", cwd=elsewhere)
    assert json.loads(moved.stdout) == json.loads(before.stdout)

    copy = elsewhere / "moved/inputs/course/mine.yaml"
    copy.write_text(copy.read_text() + "# edited\n")
    edited = nerfbot("evaluate", "moved", cwd=elsewhere)
    assert edited.returncode == 2
    assert "is not the file that was trained with" in edited.stderr
    assert load_policy(elsewhere / "moved").about["inputs"].keys() == {"course", "nerf"}


def test_a_folder_is_not_continued_with_another_course(tmp_path):
    path = write_mine(tmp_path / "conf")
    config = load_experiment(path)
    keep_inputs(config, tmp_path / "run")
    assert keep_inputs(config, tmp_path / "run") == keep_inputs(config, tmp_path / "run")
    course = tmp_path / "conf/courses/mine.yaml"
    course.write_text(course.read_text() + "# edited\n")
    with pytest.raises(InvalidExperiment, match="course: .*mine.yaml has changed since this folder was begun"):
        keep_inputs(config, tmp_path / "run")


def test_a_missing_copy_is_named(tmp_path):
    config = load_experiment(write_mine(tmp_path / "conf"))
    hashes = keep_inputs(config, tmp_path / "run")
    assert changes(tmp_path / "run", hashes) == []
    (tmp_path / "run/inputs/course/mine.yaml").unlink()
    assert changes(tmp_path / "run", hashes) == ["course: the copy inputs/course/mine.yaml is missing"]


def test_the_written_configuration_names_the_copies(tmp_path):
    config = load_experiment(write_mine(tmp_path / "conf"))
    keep_inputs(config, tmp_path / "run")
    (tmp_path / "run/config.yaml").write_text(yaml.safe_dump(described(config)))
    again = load_experiment(tmp_path / "run/config.yaml")
    assert Path(again.course) == tmp_path / "run/inputs/course/mine.yaml"
    assert described(again) == described(config)


def test_a_damaged_index_is_one_line(tmp_path):
    config = load_experiment(write_mine(tmp_path / "conf"))
    keep_inputs(config, tmp_path / "run")
    (tmp_path / "run/inputs/index.json").write_text('{"files": {"course": 3}}')
    with pytest.raises(InvalidExperiment, match="index.json: cannot be read"):
        with_inputs(config, tmp_path / "run")
