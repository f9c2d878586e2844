"""LeRobot's calibrations load as they are and mean the same angle: published files, both formats.

LeRobot's own conversion is written down here once more, in counts (`motors_bus.py`, `_normalize`); a slow
test runs LeRobot's own code.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from nerfbot.hardware.driver.register_limits import envelope_registers
from nerfbot.hardware.errors import InvalidServo
from nerfbot.hardware.lerobot import calibrated, lerobot_scales
from nerfbot.hardware.robot import ServoRobot
from nerfbot.limits import NerfSpec
from tests.hardware.lockstep import LockstepArm

FOLDER = Path(__file__).parent / "calibrations"
COUNT = 2 * math.pi / 4096
FILES = {path.stem: "koch" if "koch" in path.stem else "so101" for path in sorted(FOLDER.glob("*.json"))}
NEW = [name for name in FILES if not name.endswith("_2024")]
SO101 = ServoRobot.load("so101")


def load(name):
    return calibrated(ServoRobot.load(FILES[name]), FOLDER / f"{name}.json")


def entries(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def lerobots_degrees(entry, counts):
    return (counts - (entry["range_min"] + entry["range_max"]) / 2) * 360 / 4095


def lerobots_percent(entry, counts, inverts):
    share = (counts - entry["range_min"]) / (entry["range_max"] - entry["range_min"]) * 200 - 100
    return -share if inverts and entry["drive_mode"] else share


@pytest.mark.parametrize("name", NEW)
def test_an_angle_is_lerobots_to_within_one_count(name):
    robot, data = load(name), entries(name)
    for joint in robot.joints:
        entry = data[joint.name]
        for counts in range(entry["range_min"], entry["range_max"] + 1, 7):
            position = joint.radians(counts)
            assert joint.counts(position) == counts
            if joint.zero == "closed":
                assert position == pytest.approx((counts - entry["range_min"]) * COUNT)
            else:
                assert abs(position - math.radians(lerobots_degrees(entry, counts))) <= COUNT


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("unit", ["degrees", "percent"])
def test_lerobots_unit_converts_both_ways(name, unit):
    robot, data = load(name), entries(name)
    for joint, scale in zip(robot.joints, lerobot_scales(robot, FOLDER / f"{name}.json", unit), strict=True):
        entry = data[joint.name]
        for counts in (entry["range_min"], entry["range_min"] + 40, entry["range_max"]):
            value = scale.from_radians(joint.radians(counts))
            if joint.zero == "closed":
                assert value == pytest.approx(lerobots_percent(entry, counts, False) / 2 + 50)
            elif unit == "percent":
                assert value == pytest.approx(
                    lerobots_percent(entry, counts, False)
                )  # no Feetech inverts here
            else:
                assert value == pytest.approx(lerobots_degrees(entry, counts))
            assert joint.counts(scale.to_radians(value)) == counts


def test_a_dynamixels_drive_mode_is_left_to_the_servo_and_inverted_once():
    robot = load("koch_leader")
    elbow = robot.joints[2]
    assert elbow.direction == 1
    assert envelope_registers(robot)[3]["drive_mode"] == 1
    assert envelope_registers(robot)[2]["drive_mode"] == 0
    scale = lerobot_scales(robot, FOLDER / "koch_leader.json", "percent")[2]
    assert scale.to_radians(60.0) > 0.0


def test_a_feetechs_drive_mode_inverts_per_cent_as_in_lerobot_and_not_degrees(tmp_path):
    data = entries("so101_follower")
    data["elbow_flex"]["drive_mode"] = data["gripper"]["drive_mode"] = 1
    path = tmp_path / "c.json"
    path.write_text(json.dumps(data))
    robot = calibrated(SO101, path)
    elbow, gripper = robot.joints[2], robot.joints[5]
    percent, degrees = lerobot_scales(robot, path, "percent"), lerobot_scales(robot, path, "degrees")
    for counts in (901, 1500, 3110):
        entry = data["elbow_flex"]
        assert percent[2].from_radians(elbow.radians(counts)) == pytest.approx(
            lerobots_percent(entry, counts, True)
        )
        assert degrees[2].from_radians(elbow.radians(counts)) == pytest.approx(
            lerobots_degrees(entry, counts)
        )
    assert percent[5].from_radians(gripper.radians(3565)) == pytest.approx(0.0)
    assert gripper.radians(3565) == pytest.approx(0.0)
    assert gripper.radians(1975) == pytest.approx(1590 * COUNT)


def test_most_of_a_real_joints_range_is_usable():
    data = entries("so101_follower")
    for joint in load("so101_follower").joints:
        limits = load("so101_follower").limits(joint.name)
        real = (data[joint.name]["range_max"] - data[joint.name]["range_min"]) * COUNT
        assert (limits.max_position - limits.min_position) / real > 0.98, joint.name


RESTS = {
    "in the middle": {},
    "gripper closed": {"gripper": "range_min"},
    "gripper open": {"gripper": "range_max"},
    "folded": {"shoulder_lift": "range_min", "elbow_flex": "range_max", "wrist_flex": "range_min"},
    "folded, closed": {"shoulder_lift": "range_min", "elbow_flex": "range_max", "gripper": "range_min"},
}


@pytest.mark.parametrize("rest", RESTS)
@pytest.mark.parametrize("name", [name for name in NEW if "koch" not in name])
def test_an_arm_at_rest_may_start(name, rest):
    robot, data = load(name), entries(name)
    start = {j.name: j.radians(data[j.name][end]) for j in robot.joints if (end := RESTS[rest].get(j.name))}
    arm = LockstepArm(robot, NerfSpec.load("so101-weak"), start)
    for _ in range(20):
        arm.actuate(arm.state["position"])
        state = arm.read()
    assert (state["phase"], state["latched"]) == ("run", "")


def test_the_emulators_end_stops_are_the_calibrations():
    robot, data = load("so101_follower"), entries("so101_follower")
    arm = LockstepArm(robot, NerfSpec.load("so101-weak"))
    for joint, servo in zip(robot.joints, arm.emulator.servos, strict=True):
        entry = data[joint.name]
        ends = [servo.angle_of(entry[end]) for end in ("range_min", "range_max")]
        assert servo.motor.stops == pytest.approx(sorted(ends))
        assert servo.eeprom["homing_offset"] == entry["homing_offset"]


def test_a_joint_that_turns_freely_wraps_at_the_encoders_seam():
    arm = LockstepArm(load("so101_follower_full_turn"), NerfSpec.load("so101-weak"))
    roll = arm.emulator.servos[4]
    assert roll.motor.stops == (-math.inf, math.inf)
    roll.motor.place(roll.angle_of(4095))
    assert roll.counts == 4095
    roll.motor.place(roll.angle_of(4096))
    assert roll.counts == 0


def test_an_old_calibration_means_the_same_pose():
    robot = load("so100_follower_2024")
    old = entries("so100_follower_2024")
    for k, joint in enumerate(robot.joints[:5]):
        for counts in (1500, 2000, 2500):
            degrees = ((-counts if old["drive_mode"][k] else counts) + old["homing_offset"][k]) / 2048 * 180
            if joint.name == "shoulder_lift":
                degrees = -(degrees - 90)
            elif joint.name == "elbow_flex":
                degrees -= 90
            assert abs(joint.radians(counts) - math.radians(degrees)) <= COUNT
    gripper = robot.joints[5]
    assert gripper.radians(1971) == pytest.approx(0.0)
    assert gripper.radians(3102) == pytest.approx(1131 * COUNT)
    assert all(values["homing_offset"] == 0 for values in envelope_registers(robot).values())


@pytest.mark.parametrize("name", ["koch_follower_2024", "koch_leader_2024"])
def test_an_old_calibration_of_a_koch_stays_within_a_turn(name):
    robot = load(name)
    for joint in robot.joints:
        limits = robot.limits(joint.name)
        assert 0 < joint.counts(limits.min_position) < 4095
        assert 0 < joint.counts(limits.max_position) < 4095


def test_an_offset_that_position_mode_ignores_needs_the_extended_mode(tmp_path):
    data = entries("koch_leader")
    data["shoulder_pan"]["homing_offset"] = 1500
    path = tmp_path / "c.json"
    path.write_text(json.dumps(data))
    registers = envelope_registers(calibrated(ServoRobot.load("koch"), path))
    assert registers[1]["operating_mode"] == 4
    assert registers[2]["operating_mode"] == 3
    arm = LockstepArm(calibrated(ServoRobot.load("koch"), path), NerfSpec.load("koch-weak"))
    assert abs(arm.state["position"][0]) < 2 * COUNT


def test_a_base_in_the_file_is_left_alone(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(entries("so101_follower") | {"base_left_wheel": {"id": 7}}))
    assert calibrated(SO101, path).joints[0].home == 2111.5


def entry(id, low=900, high=3100, offset=37, drive_mode=0):
    return {"id": id, "drive_mode": drive_mode, "homing_offset": offset, "range_min": low, "range_max": high}


BAD = {
    "of another robot": (lambda d: d.pop("gripper"), "is not of so101"),
    "another ID": (lambda d: d["gripper"].update(id=5), "gripper.id = 5: the robot's is 6"),
    "range inverted": (lambda d: d["gripper"].update(range_min=3200), "range_min 3200 must be below"),
    "range beyond a turn": (lambda d: d["gripper"].update(range_max=4200), "range_max 4200 must be within"),
    "not a number": (lambda d: d["gripper"].update(homing_offset="x"), "gripper.homing_offset"),
    "a yes for a number": (lambda d: d["gripper"].update(drive_mode=True), "gripper.drive_mode"),
    "offset beyond the register": (lambda d: d["gripper"].update(homing_offset=2048), "homing_offset = 2048"),
    "a field missing": (lambda d: d["gripper"].pop("drive_mode"), "gripper.drive_mode: is required"),
    "a field too many": (lambda d: d["gripper"].update(x=1), "gripper.x: unknown field"),
    "an entry that is a list": (lambda d: d.update(gripper=[]), "gripper"),
    "old, lists of two lengths": (
        lambda d: (d.clear(), d.update(entries("so100_follower_2024")), d.update(drive_mode=[0])),
        "drive_mode: must have 6 entries",
    ),
    "old, no range": (
        lambda d: (d.clear(), d.update(entries("so100_follower_2024")), d.update(end_pos=[1971] * 6)),
        "gripper: start_pos = end_pos = 1971",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_in_one_line(case, tmp_path):
    change, message = BAD[case]
    data = {joint.name: entry(joint.id) for joint in SO101.joints}
    change(data)
    (tmp_path / "c.json").write_text(json.dumps(data))
    with pytest.raises(InvalidServo) as caught:
        calibrated(SO101, tmp_path / "c.json")
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["{", "[" * 5000, "9" * 5000])
def test_a_missing_file_and_one_that_is_no_json_are_named(text, tmp_path):
    with pytest.raises(InvalidServo, match="cannot be read"):
        calibrated(SO101, tmp_path / "no.json")
    (tmp_path / "no.json").write_text(text)
    with pytest.raises(InvalidServo, match="is not JSON"):
        calibrated(SO101, tmp_path / "no.json")


def test_a_lekiwis_calibration_loads_with_its_wheels(tmp_path):
    arm = {f"arm_{name}": entry for name, entry in entries("so101_follower").items()}
    wheels = {f"base_{name}_wheel": entry(id) for name, id in (("left", 7), ("back", 8), ("right", 9))}
    (tmp_path / "c.json").write_text(json.dumps(arm | wheels))
    robot = calibrated(ServoRobot.load("lekiwi-arm"), tmp_path / "c.json")
    assert robot.joints[1].home == 2016.5
    weak = NerfSpec.parse({"name": "weak", "channels": {"*": {"velocity": 1.0}}})
    arm = LockstepArm(robot, weak)
    for _ in range(20):
        arm.actuate(arm.state["position"])
        state = arm.read()
    assert (state["phase"], state["latched"]) == ("run", "")
