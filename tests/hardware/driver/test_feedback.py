"""Which answers of a servo are believed: driver and emulator in lockstep, cycle by cycle."""

from __future__ import annotations

import pytest

from nerfbot.hardware.bus.bus import Reply
from nerfbot.hardware.robot import ServoRobot
from nerfbot.limits import NerfSpec
from tests.hardware.lockstep import LockstepArm

ID, INDEX = 5, 4  # the roll joint, which no gravity turns


@pytest.fixture
def arm():
    """An arm that has held 0 rad for a while."""
    arm = LockstepArm(ServoRobot.load("so101"), NerfSpec.load("so101-weak"))
    for _ in range(60):
        arm.actuate([0.0] * 6)
        arm.read()
    assert arm.state["phase"] == "run"
    return arm


def fault(arm, name, **more):
    arm.emulator.do({"do": "fault", "name": name, "servo": ID, **more})


def read(arm, cycles=1):
    """Positions of the joint as the driver believes them, cycle by cycle, rad."""
    return [arm.read()["position"][INDEX] for _ in range(cycles)]


def test_one_answer_that_cannot_be_true_is_not_believed(arm):
    fault(arm, "encoder_jump", value=600)
    assert abs(read(arm)[0]) < 0.02
    fault(arm, "encoder_jump", value=-600)
    assert max(map(abs, read(arm, 10))) < 0.1
    assert not arm.state["latched"]


def test_a_second_one_like_it_is_a_jump_and_the_joint_is_held_where_it_reads(arm):
    fault(arm, "encoder_jump", value=600)
    assert read(arm, 2)[1] == pytest.approx(600 * 2 * 3.14159 / 4096, abs=0.05)
    assert "encoder-jump" in arm.state["latched"]
    read(arm, 60)
    servo = arm.emulator.servos[INDEX]
    assert abs(servo.values["goal_position"] - servo.counts) < 14
    assert abs(servo.motor.velocity) < 0.05


def test_the_first_answer_after_several_that_were_lost_must_be_confirmed(arm):
    fault(arm, "silence", count=3)
    read(arm, 3)
    assert "answers" in arm.state["guards"]
    fault(arm, "encoder_jump", value=60)  # within reach: noise that passes for an answer
    assert abs(read(arm)[0]) < 0.02
    fault(arm, "encoder_jump", value=-60)
    assert max(map(abs, read(arm, 10))) < 0.06
    assert arm.state["phase"] == "run"


def test_an_answer_like_one_before_the_last_confirms_nothing(arm):
    fault(arm, "encoder_jump", value=600)
    read(arm)
    fault(arm, "silence", count=1)
    read(arm)
    assert abs(read(arm)[0]) < 0.02
    fault(arm, "encoder_jump", value=-600)
    assert max(map(abs, read(arm, 10))) < 0.2
    assert not arm.state["latched"]


def test_a_servo_that_is_heard_again_is_believed_at_its_second_answer(arm):
    fault(arm, "silence", count=3)
    read(arm, 3)
    guards = []
    for _ in range(2):
        arm.read()
        guards.append("answers" in arm.state["guards"])
    assert guards == [True, False]


@pytest.mark.parametrize(("spoilt", "believed"), [(None, True), ("torque_limit", False)])
def test_an_answer_wrong_in_place_and_in_what_the_servo_holds_is_never_believed(arm, spoilt, believed):
    """Pieces of two answers that pass for one: a Feetech checksum is one byte."""
    feedback, joint = arm.driver.feedback, arm.robot.joints[INDEX]
    state, servo = feedback.joints[INDEX], joint.servo
    address, length = servo.block(*servo.feedback)
    data = bytearray(arm.emulator.servos[INDEX].read(address, length))
    for name, value in [("present_position", 700), *([(spoilt, 7)] if spoilt else [])]:
        register = servo.register(name)
        data[register.address - address : register.end - address] = register.encode(value)
    accepted = [feedback._update(joint, state, Reply(0, bytes(data))) for _ in range(5)]
    assert accepted == [False, *[believed] * 4]
    assert (abs(state.position) > 1.0) == believed


@pytest.mark.parametrize("other", [4, 6])
def test_of_two_different_answers_of_one_id_neither_is_believed(arm, other):
    """The roll joint answers as its neighbour, cycle after cycle: before it answers itself, or after."""
    arm.actuate([0.0] * 3 + [0.5, -0.5, 0.8])
    read(arm, 150)
    before = list(arm.state["position"])
    fault(arm, "wrong_id", value=other)
    for _ in range(20):
        arm.read()
        neighbour = arm.emulator.servos[other - 1]
        assert arm.state["position"] == pytest.approx(before, abs=0.05)
        assert abs(neighbour.values["goal_position"] - neighbour.counts) < 40
    assert {"answers", "strays"} & set(arm.state["guards"])


@pytest.fixture
def koch():
    """A Koch arm that follows where it stands."""
    arm = LockstepArm(ServoRobot.load("koch"), NerfSpec.load("koch-weak"))
    arm.actuate(arm.state["position"])
    for _ in range(60):
        arm.read()
    assert arm.state["phase"] == "run"
    return arm


@pytest.mark.parametrize("id", [1, 6])
@pytest.mark.parametrize("register", ["profile_velocity", "profile_acceleration", "effort"])
def test_a_dynamixel_that_does_not_take_a_limit_is_found_by_the_closer_look(koch, id, register):
    servo = koch.emulator.servos[id - 1]
    name = servo.model.limits["effort"].ram if register == "effort" else register
    write = servo.write

    def spoilt(address, data):
        done = write(address, data)
        servo.values[name] = 3
        return done

    servo.write = spoilt
    for _ in range(2 * 12 + 1):
        koch.read()
    assert "registers-held" in koch.state["guards"]
    assert f"{name} = 3" in " ".join(koch.state["reasons"])


def test_a_dynamixel_that_its_own_watchdog_stopped_is_found_within_a_round(koch):
    koch.emulator.servos[2].values["bus_watchdog"] = -1
    for _ in range(12):
        koch.read()
    assert "bus-watchdog" in koch.state["latched"]


def test_what_happens_is_told_after_the_stop_was_written(arm):
    """A log may wait for a disk."""
    logged = []
    servo = arm.emulator.servos[INDEX]
    arm.driver._log = lambda event, **details: logged.append((event, servo.values["goal_position"]))
    arm.actuate([0.0] * 4 + [0.8, 0.0])
    read(arm, 25)
    before = servo.values["goal_position"]
    fault(arm, "over_temperature")
    read(arm, 2)
    assert [event for event, _ in logged] == ["latch", "phase"]
    assert all(goal != before and abs(goal - servo.counts) < 20 for _, goal in logged)


@pytest.mark.parametrize("name", ["so101", "koch"])
@pytest.mark.parametrize("id", [1, 6])
def test_torque_that_goes_is_seen_in_the_next_cycle_whatever_the_servo(name, id):
    arm = LockstepArm(ServoRobot.load(name), NerfSpec.load(f"{name}-weak"))
    arm.actuate(arm.state["position"])
    for _ in range(60):
        arm.read()
    assert arm.state["phase"] == "run"
    arm.emulator.do({"do": "fault", "name": "torque_dropped", "servo": id})
    arm.read()
    assert "torque-dropped" in arm.state["guards"]


@pytest.mark.parametrize("name", ["so101", "koch"])
def test_a_goal_of_another_program_is_seen_in_the_next_cycle(name):
    arm = moving(name)
    servo, bus = arm.emulator.servos[1], arm.driver.bus
    address, data = bus.block_of(2, {"goal_position": servo.counts + 60})
    servo.write(address, data)
    arm.read()
    assert arm.state["latched"].startswith("foreign-goal: shoulder_lift: goal_position = ")


@pytest.mark.parametrize("name", ["so101", "koch"])
def test_garbage_that_looks_like_another_goal_does_not_count(name):
    arm = moving(name)
    servo, read = arm.emulator.servos[1], arm.emulator.servos[1].read

    def garbage(address, length):
        servo.read = read
        kept, servo.values["goal_position"] = servo.values["goal_position"], 777
        data = read(address, length)
        servo.values["goal_position"] = kept
        return data

    servo.read = garbage
    for _ in range(5):
        arm.read()
    assert servo.read == read
    assert arm.state["latched"] == ""


def moving(name):
    """An arm that runs and stays where it is."""
    arm = LockstepArm(ServoRobot.load(name), NerfSpec.load(f"{name}-weak"))
    for _ in range(20):
        arm.actuate(arm.state["position"])
        arm.read()
    assert arm.state["phase"] == "run"
    return arm
