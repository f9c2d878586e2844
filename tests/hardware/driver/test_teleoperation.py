"""A leader moved by hand leads a nerfed follower: two emulated arms, a driver process, real bytes."""

from __future__ import annotations

import io
import math
import os

import pytest

from nerfbot.cli import main
from nerfbot.cli.servo.confirmation import enter_pressed
from nerfbot.hardware.driver.teleoperation import teleoperating
from nerfbot.hardware.errors import InvalidServo
from nerfbot.hardware.robot import ServoRobot
from nerfbot.limits import NerfSpec

pytestmark = pytest.mark.realtime

MARGIN = 0.03
PAN, ROLL = 1, 5  # no gravity moves these


@pytest.fixture
def arms(emulate, tmp_path):
    """Leader's and follower's emulators, and the teleoperation of one by the other; 50 Hz."""
    robot = ServoRobot.load("so101").model_copy(update={"rate": 50.0, "release_s": 0.2})
    led, driven = emulate(), emulate()
    teleoperation = teleoperating(
        robot, str(led.port), robot, str(driven.port), NerfSpec.load("so101-weak"), tmp_path, margin=MARGIN
    )
    with teleoperation as operation:
        yield led, driven, operation


def turn(led, angle):
    """A hand turns the leader's pan and roll joints to ``angle`` (rad); the others hang."""
    angles = [math.pi + (angle if id in (PAN, ROLL) else 0.0) for id in range(1, 7)]
    led.do("reset", angles=angles)


def followed(operation, angle, steps=300):
    """Whether the follower's roll reads ``angle`` (rad) within so many steps."""
    states = (operation.step() for _ in range(steps))
    return any(abs(state["position"][ROLL - 1] - angle) < 0.03 for state in states)


def test_the_follower_goes_where_the_leader_is_no_faster_than_its_nerf(arms):
    led, driven, operation = arms
    turn(led, 0.8)
    fastest = 0.0
    for _ in range(300):
        state = operation.step()
        fastest = max(fastest, abs(driven.state()[PAN]["velocity"]))
        if abs(state["position"][PAN - 1] - 0.8) < 0.03:
            break
    assert state["phase"] == "run"
    assert abs(driven.state()[PAN]["angle"] - math.pi - 0.8) < 0.05
    assert 0.5 < fastest < 1.35  # the nerf says 1.0; the leader jumped
    assert not any(line[8] for line in led.read_log() if line[1] == "w")  # the leader's torque stays off


def test_a_leader_that_is_not_heard_stops_the_follower_until_it_is_back(arms):
    led, _, operation = arms
    turn(led, 0.5)
    assert followed(operation, 0.5)
    led.fault("silence", servo=3)
    states = [operation.step() for _ in range(40)]
    assert "command-age" in states[-1]["guards"]
    assert states[-1]["phase"] in ("stop", "hold")
    turn(led, -0.3)  # clears the fault
    assert followed(operation, -0.3)


def test_at_the_end_the_follower_is_let_down(emulate, tmp_path):
    robot = ServoRobot.load("so101").model_copy(update={"rate": 50.0, "release_s": 0.2})
    led, driven = emulate(), emulate()
    spec = NerfSpec.load("so101-weak")
    with teleoperating(robot, str(led.port), robot, str(driven.port), spec, tmp_path, margin=MARGIN) as both:
        assert any(both.step()["phase"] == "run" for _ in range(200))
    assert all(servo["values"]["torque_enable"] == 0 for servo in driven.state().values())


def test_a_leader_with_other_joints_is_refused_before_any_port_is_opened(tmp_path):
    robot = ServoRobot.load("so101")
    joints = tuple(j.model_copy(update={"name": "x"}) if j.id == 6 else j for j in robot.joints)
    other, spec = robot.model_copy(update={"joints": joints}), NerfSpec.load("so101-weak")
    with (
        pytest.raises(InvalidServo, match=r"leader: its joints are .* x, the follower's"),
        teleoperating(other, "/nowhere", robot, "/nowhere", spec, tmp_path),
    ):
        pass


def test_a_real_port_is_asked_about_first(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    arguments = ("--leader", "emulator", "--port", "/dev/ttyUSB7", "--nerf", "so101-weak")
    assert main(["servo", "teleoperate", *arguments]) == 2
    error = capsys.readouterr().err
    assert "wrist_roll (servo 5) from -2.95 to 2.95 rad at up to 1 rad/s (3 lifted)" in error
    assert "--port /dev/ttyUSB7: not touched" in error
    assert main(["servo", "teleoperate", *arguments, "--yes"]) == 2
    assert "there is no such port" in capsys.readouterr().err


def test_a_leader_that_passes_the_end_of_its_encoders_turn_stops_the_follower_and_sweeps_nothing(arms):
    led, _, operation = arms
    turn(led, 0.5)
    assert followed(operation, 0.5)
    for value in (-2600, 2600):
        led.fault("encoder_jump", servo=ROLL, value=value)
        states = [operation.step() for _ in range(40)]
        if value < 0:
            assert operation.problem.startswith("leader: wrist_roll jumped from 0.5")
            assert "command-age" in states[-1]["guards"]
            assert all(abs(state["position"][ROLL - 1] - 0.5) < 0.15 for state in states)
    assert followed(operation, 0.5)
    assert operation.problem == ""


def test_an_operator_clears_the_followers_latch(arms):
    _, driven, operation = arms
    assert any(operation.step()["phase"] == "run" for _ in range(200))
    driven.fault("encoder_jump", servo=PAN, value=300)
    assert any(operation.step()["latched"] for _ in range(50))
    assert all(operation.step()["latched"] for _ in range(40))
    operation.clear()
    assert any(operation.step()["phase"] == "run" for _ in range(150))


def test_enter_is_read_without_waiting(monkeypatch):
    reader, writer = os.pipe()
    with os.fdopen(reader) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        assert not enter_pressed()
        os.write(writer, b"\n")
        assert enter_pressed()
        assert not enter_pressed()
        os.close(writer)
        assert not enter_pressed(), "a closed terminal is no key"
