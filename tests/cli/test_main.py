"""The command line as a user meets it: help, JSON, exit codes, and one line for each bad input."""

from __future__ import annotations

import json

import pytest

import nerfbot
from nerfbot.cli import main
from nerfbot.errors import InvalidSpec

COMMANDS = (
    (),
    ("demo",),
    ("bench",),
    ("nerf",),
    ("nerf", "show"),
    ("nerf", "check"),
    ("course",),
    ("course", "list"),
    ("course", "show"),
    ("course", "check"),
    ("hil",),
    ("hil", "run"),
    ("servo",),
    ("servo", "scan"),
    ("servo", "id"),
    ("servo", "calibrate"),
    ("servo", "monitor"),
    ("servo", "drive"),
    ("servo", "teleoperate"),
    ("audit-log",),
    ("audit-log", "verify"),
)

SPEC = """
name: mine
envelope:
  channels:
    linear.x: {max_velocity: 1.5, max_acceleration: 3.0, stop_deceleration: 2.0, max_effort: 60.0}
    angular.z: {max_velocity: 3.0, max_acceleration: 12.0, stop_deceleration: 8.0}
channels:
  CHANNEL: {velocity: {nerfed: NERFED, lifted: LIFTED}}
"""

COURSE = """
name: mine
title: Mine
legend: {"#": wall, S: start, c: coin}
map: |
MAP
task: {goal: {kind: coin}, horizon: 10}
"""

ROBOT = """
name: mine
urdf: missing.urdf
channels: [{name: elbow, mode: velocity, unit: rad/s}]
"""


def spec(channel="linear.x", nerfed="0.4", lifted="1.2"):
    return SPEC.replace("CHANNEL", channel).replace("NERFED", nerfed).replace("LIFTED", lifted)


def course(*lines):
    return COURSE.replace("MAP", "\n".join(f"  {line}" for line in lines))


BAD_FILES = {
    "negative limit": (("nerf", "show"), spec(nerfed="-1.0"), "linear.x"),
    "velocity above the envelope": (("nerf", "check"), spec(lifted="40.0"), "max_velocity 1.5"),
    "NaN in YAML": (("nerf", "show"), spec(nerfed=".nan"), "velocity"),
    "no such channel": (("nerf", "check"), spec(channel="linear.y"), "linear.y"),
    "ragged map": (("course", "show"), course("####", "#S#", "####"), "mine.yaml:7:6"),
    "course without a start": (("course", "show"), course("####", "#.c#", "####"), "start"),
}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command, capsys):
    assert main([*command, "--help"]) == 0
    assert "Usage" in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"nerfbot {nerfbot.__version__}\n"


@pytest.mark.parametrize(
    "command",
    [
        ("nerf", "show", "rover-weak", "--level", "0.5"),
        ("nerf", "show", "rover-weak", "--schema"),
        ("nerf", "check", "rover-weak"),
        ("course", "list"),
        ("course", "show", "strength"),
    ],
    ids=" ".join,
)
def test_json_is_one_json_value(command, capsys):
    assert main([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)
    assert err == ""


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_gives_one_line_that_names_the_place_and_exit_code_2(case, tmp_path, capsys):
    command, text, place = BAD_FILES[case]
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert main([*command, str(path)]) == 2
    assert_one_line(capsys, place)


@pytest.mark.parametrize(
    ("command", "place"),
    [
        (("frobnicate",), "frobnicate"),
        (("nerf", "show"), "SPEC"),
        (("nerf", "show", "rover-weak", "--levle", "1"), "--levle"),
        (("nerf", "show", "rover-weak", "--level", "1.5"), "--level = 1.5"),
        (("nerf", "show", "rover-weak", "--level", "nan"), "--level = nan"),
        (("nerf", "show", "rover-wek"), "did you mean 'rover-weak'"),
        (("nerf", "show", "nowhere.yaml"), "nowhere.yaml"),
        (("nerf", "check", "rover-weak", "--robot", "rovre"), "rovre"),
        (("course", "show", "gauntlte"), "gauntlte"),
        (("course", "show", "gauntlet", "--seed", "-1"), "-1"),
        (("audit-log", "verify", "nowhere.jsonl"), "nowhere.jsonl"),
        (("bench", "limitz"), "limitz"),
        (("demo", "--seed", "-1"), "seed = -1"),
        (("demo", "--gui"), "DISPLAY"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_arguments_give_one_line_and_exit_code_2(command, place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    assert main(list(command)) == 2
    assert_one_line(capsys, place)
    assert list(tmp_path.iterdir()) == []


def test_missing_urdf_is_named(tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(ROBOT)
    assert main(["nerf", "check", "rover-weak", "--robot", str(path)]) == 2
    assert_one_line(capsys, "missing.urdf")


def test_limit_that_a_robot_cannot_enforce_exits_1_and_is_named(tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(spec() + "sensors: {imu: {range: {nerfed: 1.0, lifted: 2.0}}}\n")
    assert main(["nerf", "check", str(path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["enforced"]
    failing = [row for row in report["limits"] if row["status"] == "not enforceable"]
    assert [(row["on"], row["limit"]) for row in failing] == [("imu", "range")]


def test_level_moves_each_limit_between_its_ends(capsys):
    main(["nerf", "show", "rover-weak", "--level", "0.5", "--json"])
    limits = json.loads(capsys.readouterr().out)["limits"]
    assert all(row["at"] == pytest.approx((row["nerfed"] + row["lifted"]) / 2) for row in limits)


def test_demo_leaves_a_folder_with_other_files_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("three years of work")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert_one_line(capsys, "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_debug_lets_the_traceback_through():
    with pytest.raises(InvalidSpec, match="rover-wek"):
        main(["nerf", "show", "rover-wek", "--debug"])


def assert_one_line(capsys, place):
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("nerfbot: ")
    assert place in err
