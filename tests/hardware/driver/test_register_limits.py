"""Limits as registers: quantised downwards, inside the envelope, held by the servo, holding the arm."""

from __future__ import annotations

import json
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nerfbot.cli import main
from nerfbot.errors import InvalidSpec
from nerfbot.hardware.driver.register_limits import (
    ENVELOPE_FIELD,
    RegisterPlan,
    envelope_registers,
    position_counts,
    stop_acceleration,
)
from nerfbot.hardware.driver.setup import WrongServos, check_servos, open_bus, set_up, write_limits
from nerfbot.hardware.errors import InvalidServo, PortError
from nerfbot.hardware.robot import ROBOTS, ServoRobot
from nerfbot.limits import NerfSpec

SO101, KOCH = ServoRobot.load("so101"), ServoRobot.load("koch")
WEAK = {"so101": NerfSpec.load("so101-weak"), "koch": NerfSpec.load("koch-weak")}
NERFED, LIFTED = (0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 1.0, 1.0)


def plan(limits, joint="gripper", robot=SO101, **options):
    return RegisterPlan(robot, NerfSpec.parse({"name": "mine", "channels": {joint: limits}}), **options)


@pytest.mark.parametrize("robot", [SO101, KOCH], ids=lambda robot: robot.name)
@given(levels=st.tuples(*[st.floats(-0.5, 1.5)] * 4))
def test_at_every_level_every_register_is_within_nerf_and_envelope(robot, levels):
    plan = RegisterPlan(robot, WEAK[robot.name])
    low, here, high = plan.counts_at(NERFED), plan.counts_at(levels), plan.counts_at(LIFTED)
    for joint in robot.joints:
        limits = robot.limits(joint.name)
        most = {field: getattr(limits, bound) for field, bound in ENVELOPE_FIELD.items()}
        for field, carrier in joint.servo.limits.items():
            register = joint.servo.register(carrier.ram)
            counts = here[joint.id][carrier.ram]
            assert low[joint.id][carrier.ram] <= counts <= high[joint.id][carrier.ram]
            assert counts >= 1
            assert counts * register.scale <= most[field] * (1 + 1e-9)


@pytest.mark.parametrize("robot", [SO101, KOCH], ids=lambda robot: robot.name)
def test_a_nerfed_arm_holds_itself(robot):
    counts = RegisterPlan(robot, WEAK[robot.name]).counts_at(NERFED)
    for joint in robot.joints:
        register = joint.servo.register(joint.servo.limits["effort"].ram)
        assert counts[joint.id][register.name] * register.scale >= robot.holding_effort(joint.name)


def test_without_a_nerf_the_registers_carry_the_envelope():
    counts = RegisterPlan(SO101, NerfSpec.load("none")).counts_at(NERFED)
    assert counts[1] == {
        "torque_limit": math.floor(1.5 / 0.001912),
        "goal_velocity": math.floor(3.0 / (2 * math.pi / 4096)),
        "acceleration": math.floor(20.0 / (100 * 2 * math.pi / 4096)),
    }


BAD = {
    "less than holds the arm": (
        {"effort": 0.3}, "shoulder_lift", r"effort.nerfed: 0.3 is below the envelope's holding_effort",
    ),
    "above the envelope": ({"velocity": {"nerfed": 1.0, "lifted": 9.0}}, "gripper", "9 is above"),
    "less than a count": ({"velocity": 0.001}, "gripper", "one count of goal_velocity"),
    "no such joint": ({"velocity": 1.0}, "gripperr", "did you mean 'gripper'"),
    "not for a position channel": ({"jerk": {"nerfed": 1.0, "lifted": 9.0}}, "gripper", "jerk.*not enf"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_limit_that_cannot_be_kept_is_refused_by_name(case):
    limits, joint, message = BAD[case]
    with pytest.raises(InvalidSpec, match=message) as caught:
        plan(limits, joint)
    assert joint in str(caught.value)


def test_an_effort_that_holds_the_arm_only_before_rounding_is_refused():
    holding = SO101.holding_effort("wrist_flex")
    with pytest.raises(InvalidSpec, match="does not hold"):
        plan({"effort": holding + 1e-6}, "wrist_flex")


def test_what_no_register_carries_is_said_to_be_left_to_software():
    report = plan({"backlash": 0.02, "velocity": 1.0}).report
    assert {item.field: item.status for item in report} == {"velocity": "quantised", "backlash": "software"}


def test_an_envelope_beyond_what_a_register_holds_is_refused(tmp_path):
    data = yaml.safe_load((ROBOTS / "so101.yaml").read_text())
    data["envelope"]["channels"]["gripper"]["max_acceleration"] = 50.0
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(
        InvalidServo, match=r"gripper.max_acceleration: 50 is more than acceleration holds \(38.96\)"
    ):
        RegisterPlan(ServoRobot.load(path), NerfSpec.load("none"))


@pytest.mark.parametrize("direction", [1, -1])
def test_position_limits_are_rounded_inwards(direction):
    joint = SO101.joints[5].model_copy(update={"direction": direction})
    limits = SO101.limits("gripper")
    low, high = position_counts(joint, limits)
    ends = sorted((joint.radians(low), joint.radians(high)))
    assert limits.min_position <= ends[0] <= limits.min_position + joint.servo.radians_per_count
    assert limits.max_position - joint.servo.radians_per_count <= ends[1] <= limits.max_position


def test_a_stop_brakes_at_least_as_hard_as_the_envelope_asks_and_within_it():
    for robot in (SO101, KOCH):
        for joint in robot.joints:
            limits = robot.limits(joint.name)
            register = joint.servo.register(joint.servo.limits["acceleration"].ram)
            braking = stop_acceleration(joint, limits) * register.scale
            assert limits.stop_deceleration <= braking <= limits.max_acceleration


@pytest.mark.realtime
@pytest.mark.parametrize("robot", [SO101, KOCH], ids=lambda robot: robot.name)
def test_set_up_puts_the_envelope_into_eeprom_once_with_torque_off(robot, emulate):
    emulated = emulate(robot.name)
    bus = open_bus(robot, str(emulated.port), margin=0.02)
    assert all(set_up(bus, robot).values())
    assert not any(set_up(bus, robot).values())
    bus.close()
    expected = envelope_registers(robot)
    for id, servo in emulated.state().items():
        assert {name: servo["values"][name] for name in expected[id]} == expected[id]
        assert servo["values"]["torque_enable"] == 0
    assert all(entry[8] == 0 for entry in emulated.read_log() if entry[1] == "w")


@pytest.mark.realtime
def test_nerfed_registers_are_read_back_from_the_servos(emulate):
    emulated = emulate("so101")
    bus = open_bus(SO101, str(emulated.port), margin=0.02)
    plan = RegisterPlan(SO101, WEAK["so101"])
    read_back = write_limits(bus, plan.counts_at(NERFED))
    bus.close()
    assert {item.status for item in plan.with_held(read_back)} <= {"enforced", "quantised"}
    read_back[6]["torque_limit"] += 1
    assert [item.joint for item in plan.with_held(read_back) if item.status == "not held"] == ["gripper"]


@pytest.mark.realtime
def test_a_servo_that_is_missing_another_or_twice_there_is_named(emulate):
    ids = {"missing": [1, 2, 3, 5, 6], "none": [11]}
    emulated = emulate(servos=[f"sts3215:{id}" for id in ids["missing"]])
    with pytest.raises(WrongServos, match=r"servo 4 \(wrist_flex\) does not answer"):
        open_bus(SO101, str(emulated.port), margin=0.02)
    emulated = emulate(servos=["sts3215:11"])
    with pytest.raises(WrongServos, match="no servo answers at baud = 1000000"):
        open_bus(SO101, str(emulated.port), margin=0.02)
    models = {
        1: "xl430-w250",
        2: "xl430-w250",
        3: "xl330-m288",
        4: "xl330-m288",
        5: "xm430-w350",
        6: "xl330-m288",
    }
    emulated = emulate(servos=[f"{model}:{id}" for id, model in models.items()])
    with pytest.raises(
        WrongServos, match=r"servo 5 \(wrist_roll\): is xm430-w350, the robot needs xl330-m288"
    ):
        open_bus(KOCH, str(emulated.port), margin=0.02)


@pytest.mark.realtime
def test_two_servos_with_one_id_are_found_out(emulate, connect):
    emulated = emulate("so101")
    bus = connect(emulated)
    emulated.fault("duplicate_id", servo=3)
    with pytest.raises(WrongServos, match=r"servo 3 \(elbow_flex\): two servos answer"):
        check_servos(bus, SO101)


@pytest.mark.realtime
def test_a_busy_port_is_named(emulate, connect):
    emulated = emulate("so101")
    connect(emulated)
    with pytest.raises(PortError, match="is busy"):
        open_bus(SO101, str(emulated.port))


@pytest.mark.realtime
def test_the_command_reads_every_limit_back_from_the_bus(capsys):
    assert main(["nerf", "check", "so101-weak", "--robot", "so101", "--port", "emulator", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["enforced"]
    assert len(data["limits"]) == 18
    assert all(item["held"] == item["counts"] for item in data["limits"])


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rover-weak", "--robot", "so101"), "channels[linear.x]: the robot has no such channel"),
        (("so101-weak", "--robot", "so102", "--port", "emulator"), "did you mean 'so101'"),
        (("so101-weak", "--robot", "so101", "--port", "/nowhere/tty", "--yes"), "there is no such port"),
        (("so101-weak", "--robot", "koch"), "is above the envelope"),
    ],
)
def test_bad_input_to_the_command_gives_one_line(arguments, message, capsys):
    assert main(["nerf", "check", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.strip().splitlines()) == 1
