"""What changes the meaning of registers is read, compared and refused by name; while it runs, it latches."""

from __future__ import annotations

import json

import pytest

from nerfbot.cli import main
from nerfbot.hardware.driver.setup import WrongServos
from nerfbot.hardware.robot import ServoRobot
from nerfbot.limits import NerfSpec
from tests.hardware.lockstep import LockstepArm

CASES = {
    "STS speed unit": ("so101", {"phase": 8}, "phase = 8: the units of its table assume 12"),
    "STS direction": ("so101", {"phase": 13}, "phase = 13"),
    "STS many turns": ("so101", {"phase": 28}, "phase = 28"),
    "STS resolution": ("so101", {"angular_resolution": 2}, "angular_resolution = 2"),
    "STS firmware": ("so101", {"firmware_major": 2}, "firmware_major = 2"),
    "12 V variant": ("so101", {"max_voltage_limit": 140}, "of 12 V is model sts3215-12v"),
    "time-based profile": ("koch", {"drive_mode": 4}, "drive_mode = 4"),
    "torque by a goal": ("koch", {"drive_mode": 8}, "drive_mode = 8"),
    "reversed without calibration": ("koch", {"drive_mode": 1}, "it counts backwards"),
    "ignored homing offset": (
        "koch",
        {"homing_offset": 1200},
        "homing_offset = 1200: is ignored beyond 1024",
    ),
    "old firmware": ("koch", {"firmware_version": 37}, "firmware_version = 37"),
    "torque at power-on": ("koch", {"startup_configuration": 1}, "startup_configuration = 1"),
    "a second ID": ("koch", {"secondary_id": 7}, "secondary_id = 7"),
}


@pytest.mark.parametrize("case", CASES)
def test_eeprom_that_changes_what_registers_mean_is_refused_by_name(case):
    name, eeprom, message = CASES[case]
    with pytest.raises(WrongServos) as caught:
        LockstepArm(ServoRobot.load(name), NerfSpec.load(f"{name}-weak"), eeprom={1: eeprom})
    assert message in str(caught.value)
    assert "servo 1 (shoulder_pan" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "volts"), [("so101", 12.0), ("koch", 7.4)])
def test_a_supply_at_which_the_torque_is_another_one_is_refused(name, volts):
    with pytest.raises(WrongServos, match="present_voltage"):
        LockstepArm(ServoRobot.load(name), NerfSpec.load(f"{name}-weak"), supply=volts)


def test_an_override_of_the_voltage_limit_does_not_make_it_a_12_volt_servo():
    data = ServoRobot.load("so101").model_dump()
    data["eeprom"]["max_voltage_limit"] = 140
    with pytest.raises(ValueError, match=r"max_voltage_limit = 140.*sts3215-12v"):
        ServoRobot.model_validate(data)


def test_an_offset_that_is_ignored_is_refused_in_the_robot_file():
    data = ServoRobot.load("koch").model_dump()
    data["joints"][0]["homing_offset"] = -1100
    with pytest.raises(ValueError, match="homing_offset = -1100: is ignored"):
        ServoRobot.model_validate(data)


@pytest.mark.parametrize(("name", "register", "value"), [("so101", "phase", 8), ("koch", "drive_mode", 4)])
def test_a_meaning_that_changes_while_it_runs_latches(name, register, value):
    arm = LockstepArm(ServoRobot.load(name), NerfSpec.load(f"{name}-weak"))
    for _ in range(20):
        arm.actuate(arm.state["position"])
        arm.read()
    assert arm.state["phase"] == "run"
    arm.emulator.servos[2].values[register] = value
    for _ in range(30):
        arm.read()
    assert arm.state["latched"].startswith(f"eeprom: elbow_flex: {register} = {value}")


def test_the_emulated_speed_unit_is_what_the_register_says():
    """The refusal is about something: with another phase bit the same count is fifty times the speed."""
    arm = LockstepArm(ServoRobot.load("so101"), NerfSpec.load("so101-weak"))
    servo = arm.emulator.servos[0]
    slow = servo._command().velocity
    servo.values["phase"] = 8
    assert servo._command().velocity == pytest.approx(50 * slow)


@pytest.mark.realtime
def test_a_scan_tells_the_12_volt_variant_apart(emulate, capsys):
    emulated = emulate(servos=["sts3215:1", "sts3215-12v:2"])
    assert main(["servo", "scan", "--port", str(emulated.port), "--last", "3", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["id"], row["model"]) for row in rows] == [(1, "sts3215"), (2, "sts3215-12v")]
