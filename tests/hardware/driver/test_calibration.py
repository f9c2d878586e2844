"""Recording a calibration, and the commands that set a bus up."""

from __future__ import annotations

import json
import math

import pytest

from nerfbot.cli import main
from nerfbot.hardware.driver.calibration import CalibrationRecorder
from nerfbot.hardware.errors import InvalidServo
from nerfbot.hardware.lerobot import calibrated
from nerfbot.hardware.robot import ServoRobot

ROBOT = ServoRobot.load("so101")
COUNT = 2 * math.pi / 4096


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
    middles = [
        joint.counts(sum(joint.stops) / 2) for joint in again.joints if not robot.holding_effort(joint.name)
    ]
    assert all(abs(middle - 2047) < 5 for middle in middles)
    assert not any(servo["values"]["torque_enable"] for servo in emulated.state().values())


SEAM = [0, 1, 2046, 2047, 2048, 4094, 4095]
"""Counts of the encoder at which a joint may stand when it is in the middle of its range."""


@pytest.mark.realtime
@pytest.mark.parametrize("before", [-2047, 0, 1365, 2047])
def test_the_middle_may_lie_anywhere_on_the_encoder(before, emulate, connect):
    emulated = emulate(servos=[f"sts3215:{id}" for id in range(1, 8)])
    joints = tuple(ROBOT.joints[0].model_copy(update={"name": f"joint{id}", "id": id}) for id in range(1, 8))
    robot = ROBOT.model_copy(update={"joints": joints})
    bus = connect(emulated)
    bus.servos = robot.servos
    emulated.do("eeprom", values={str(id): {"homing_offset": before} for id in range(1, 8)})
    emulated.do("reset", angles=[counts * COUNT for counts in SEAM])
    offsets = CalibrationRecorder(bus, robot).set_middle()
    assert all(-2047 <= offset <= 2047 for offset in offsets.values())
    assert all(abs(bus.read(joint.id, "present_position") - 2047) <= 1 for joint in joints)


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
def test_a_dynamixel_from_the_factory_gets_the_robots_id_and_baud_rate(emulate, capsys):
    emulated = emulate(servos=["xl330-m288:1"], options=["--baud", "57600"])
    servo = ("--yes", "--port", str(emulated.port), "--robot", "koch")
    assert main(["servo", "id", *servo, "--from", "1", "--to", "3"]) == 2
    assert "servo 1 does not answer" in capsys.readouterr().err
    assert main(["servo", "id", *servo, "--baud", "57600", "--from", "1", "--to", "3"]) == 0
    change = ("--id", "3", "--from", "57600", "--to")
    assert main(["servo", "baud", *servo, *change, "12345"]) == 2
    assert "baud = 12345: xl330-m288 speaks 9600" in capsys.readouterr().err
    assert main(["servo", "baud", *servo, *change, "1000000"]) == 0
    assert emulated.state()[3]["values"]["baud_rate"] == 3
    assert main(["servo", "scan", "--port", str(emulated.port), "--last", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])[0]["baud"] == 1_000_000


@pytest.mark.realtime
def test_a_feetech_changes_its_baud_rate_and_is_locked_again(emulate, capsys):
    emulated = emulate(servos=["sts3215:1", "sts3215:2"])
    arguments = ("--yes", "--port", str(emulated.port), "--id", "2", "--from", "1000000", "--to", "115200")
    assert main(["servo", "baud", *arguments]) == 0
    values = emulated.state()[2]["values"]
    assert (values["baud_rate"], values["lock"]) == (4, 1)
    assert emulated.state()[1]["values"]["baud_rate"] == 0


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
