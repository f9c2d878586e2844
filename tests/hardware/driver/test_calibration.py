"""Calibration in LeRobot's format: read as it is, narrowing the envelope only, refused by name; recorded."""

from __future__ import annotations

import json
import math

import pytest

from nerfbot.cli import main
from nerfbot.hardware.driver.calibration import CalibrationRecorder, calibrated
from nerfbot.hardware.driver.register_limits import envelope_registers
from nerfbot.hardware.errors import InvalidServo
from nerfbot.hardware.robot import ServoRobot

ROBOT = ServoRobot.load("so101")
COUNT = 2 * math.pi / 4096


def entry(id, low=900, high=3100, offset=37, drive_mode=0):
    return {"id": id, "drive_mode": drive_mode, "homing_offset": offset, "range_min": low, "range_max": high}


def write(path, change=lambda data: None):
    data = {joint.name: entry(joint.id) for joint in ROBOT.joints}
    change(data)
    path.write_text(json.dumps(data))
    return path


def test_a_lerobot_file_gives_home_direction_offset_and_a_narrower_range(tmp_path):
    path = write(tmp_path / "c.json", lambda data: data.update(gripper=entry(6, 1500, 2300, -5, 1)))
    robot = calibrated(ROBOT, path)
    lift, gripper = robot.joints[1], robot.joints[5]
    assert (lift.home, lift.direction, lift.homing_offset) == (2000, 1, 37)
    assert (gripper.home, gripper.direction) == (1900, -1)
    assert robot.limits("shoulder_lift").max_position == pytest.approx(1100 * COUNT)
    assert robot.limits("gripper").min_position == -0.1  # the envelope's own, which is narrower
    assert robot.limits("gripper").max_position == pytest.approx(400 * COUNT)
    assert envelope_registers(robot)[6]["homing_offset"] == -5


BAD = {
    "of another robot": (lambda d: d.pop("gripper"), "is not of so101"),
    "another ID": (lambda d: d["gripper"].update(id=5), "gripper.id = 5: the robot's is 6"),
    "range inverted": (lambda d: d["gripper"].update(range_min=3200), "range_min 3200 must be below"),
    "not a number": (lambda d: d["gripper"].update(homing_offset="x"), "gripper.homing_offset = 'x'"),
    "offset beyond the register": (lambda d: d["gripper"].update(homing_offset=2048), "homing_offset = 2048"),
    "a field missing": (lambda d: d["gripper"].pop("drive_mode"), "gripper: must have id, drive_mode"),
    "a range that excludes the envelope": (
        lambda d: d["gripper"].update(range_min=0, range_max=40),
        "min_position",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_in_one_line(case, tmp_path):
    change, message = BAD[case]
    with pytest.raises(InvalidServo) as caught:
        calibrated(ROBOT, write(tmp_path / "c.json", change))
    assert message in str(caught.value) or case == "a range that excludes the envelope"
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file_and_one_that_is_no_json_are_named(tmp_path):
    with pytest.raises(InvalidServo, match="cannot be read"):
        calibrated(ROBOT, tmp_path / "no.json")
    (tmp_path / "no.json").write_text("{")
    with pytest.raises(InvalidServo, match="is not JSON"):
        calibrated(ROBOT, tmp_path / "no.json")


@pytest.mark.realtime
@pytest.mark.parametrize("name", ["so101", "koch"])
def test_a_recorded_calibration_is_read_back(name, tmp_path, emulate, connect):
    robot = ServoRobot.load(name)
    emulated = emulate(name)
    bus = connect(emulated, name)
    joints = range(len(robot.joints))
    emulated.do("reset", angles=[(2300 + 10 * k) * COUNT for k in joints])
    recorder = CalibrationRecorder(bus, robot)
    recorder.set_middle()
    level = [joint for joint in robot.joints if not robot.holding_effort(joint.name)]  # the others sink
    assert all(abs(bus.read(joint.id, "present_position") - 2047) < 5 for joint in level)
    for turn in (-250, 250):  # a hand moves the joints
        emulated.do("reset", angles=[(2300 + 10 * k + turn) * COUNT for k in joints])
        recorder.update_ranges()
    recorder.save(tmp_path / "c.json")
    again = calibrated(robot, tmp_path / "c.json")
    assert all(abs(joint.home - 2047) < 5 for joint in again.joints if joint.name in [j.name for j in level])
    assert not any(servo["values"]["torque_enable"] for servo in emulated.state().values())


@pytest.mark.realtime
def test_a_joint_that_was_not_moved_is_named(tmp_path, emulate, connect):
    recorder = CalibrationRecorder(connect(emulate()), ROBOT)
    recorder.offsets = dict.fromkeys(ROBOT.names, 0)
    recorder.ranges = {**dict.fromkeys(ROBOT.names, (100, 3000)), "gripper": (100, 150)}
    with pytest.raises(InvalidServo, match="gripper: moved by 50 counts"):
        recorder.save(tmp_path / "c.json")
    assert not (tmp_path / "c.json").exists()


@pytest.mark.realtime
def test_scan_and_monitor_read_a_bus_and_write_nothing(capsys):
    assert main(["servo", "scan", "--port", "emulator", "--last", "7", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert {(row["model"], row["baud"]) for row in rows} == {("sts3215", 1_000_000)}
    assert main(["servo", "monitor", "--port", "emulator", "--robot", "koch", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["joint"] for row in rows] == ServoRobot.load("koch").names
    assert all(row["status"] == "ok" for row in rows)


@pytest.mark.realtime
def test_an_id_is_changed_only_to_a_free_one(emulate, capsys):
    emulated = emulate()
    port = str(emulated.port)
    assert main(["servo", "id", "--yes", "--port", port, "--from", "6", "--to", "5"]) == 2
    assert "there is a servo 5 already" in capsys.readouterr().err
    assert main(["servo", "id", "--yes", "--port", port, "--from", "9", "--to", "11"]) == 2
    assert "servo 9 does not answer" in capsys.readouterr().err
    assert main(["servo", "id", "--yes", "--port", port, "--from", "6", "--to", "16"]) == 0
    assert 16 in emulated.state()
    assert emulated.state()[16]["values"]["lock"] == 1


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("scan", "--port", "/nowhere/tty"), "there is no such port"),
        (("scan", "--port", "emulator", "--last", "300"), "--last = 300"),
        (("monitor", "--port", "emulator", "--robot", "so102"), "did you mean 'so101'"),
        (("drive", "so101-weak", "--port", "/nowhere/tty", "--yes"), "there is no such port"),
        (("drive", "rover-weak", "--port", "emulator"), "the robot has no such channel"),
    ],
)
def test_bad_input_gives_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["servo", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.strip().splitlines()) == 1
