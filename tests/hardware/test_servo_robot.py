"""Robots as data: what a robot file may say, and what gravity asks of its motors."""

from __future__ import annotations

import pytest
import yaml

from nerfbot.hardware.errors import InvalidServo
from nerfbot.hardware.robot import ROBOTS, ServoRobot, robots
from tests.hardware.poses import poses

BAD = {
    "two servos with one ID": (lambda d: d["joints"][1].update(id=1), "id 1 is given twice"),
    "unknown model": (lambda d: d["joints"][0].update(model="sts3125"), "did you mean 'sts3215'"),
    "wrong protocol": (lambda d: d["joints"][0].update(model="xl430-w250"), "speaks dynamixel"),
    "effort above the stall torque": (
        lambda d: d["envelope"]["channels"]["gripper"].update(max_effort=3.0),
        "gripper.max_effort: 3 is above",
    ),
    "range beyond a turn": (
        lambda d: d["envelope"]["channels"]["gripper"].update(max_position=3.5),
        "gripper.max_position: 3.5 is count",
    ),
    "effort that does not hold the arm": (
        lambda d: d["envelope"]["channels"]["shoulder_lift"].update(max_effort=0.5),
        "shoulder_lift.max_effort: 0.5 does not hold",
    ),
    "holding effort stated too low": (
        lambda d: d["envelope"]["channels"]["shoulder_lift"].update(holding_effort=0.2),
        "shoulder_lift.holding_effort: 0.2 is below",
    ),
    "joint without envelope": (
        lambda d: d["envelope"]["channels"].pop("gripper"),
        "gripper: is required",
    ),
    "NaN": (
        lambda d: d["envelope"]["channels"]["gripper"].update(max_velocity=float("nan")),
        "max_velocity",
    ),
    "unknown field": (lambda d: d.update(bauds=1), "did you mean 'baud'"),
}


@pytest.mark.parametrize("name", robots())
def test_the_robots_that_ship_are_valid_and_every_pose_is_held(name):
    robot = ServoRobot.load(name)
    assert len(robot.joints) == 6
    for pose in poses(robot):
        for joint, torque in robot.gravity_torques(pose).items():
            assert abs(torque) <= robot.holding_effort(joint) + 1e-12
            assert abs(torque) < robot.limits(joint).max_effort


@pytest.mark.parametrize("case", BAD)
def test_a_bad_robot_file_gives_one_line_that_names_the_field(case, tmp_path):
    change, message = BAD[case]
    data = yaml.safe_load((ROBOTS / "so101.yaml").read_text())
    change(data)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(InvalidServo) as caught:
        ServoRobot.load(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_robot_is_named_with_the_nearest():
    with pytest.raises(InvalidServo, match=r"so10.*did you mean 'so101'"):
        ServoRobot.load("so10")


def test_counts_and_radians_are_each_others_inverse():
    joint = ServoRobot.load("so101").joints[0].model_copy(update={"direction": -1, "home": 2000})
    assert [joint.counts(joint.radians(counts)) for counts in range(0, 4096, 7)] == list(range(0, 4096, 7))
    assert joint.counts(0.1) < 2000


def test_stretched_out_level_asks_for_the_holding_torque():
    robot = ServoRobot.load("so101")
    level = {"shoulder_lift": 1.5707963, "elbow_flex": -1.5707963, "wrist_flex": 0.0}
    torque = robot.gravity_torques(level)
    assert torque["shoulder_lift"] == pytest.approx(robot.holding_effort("shoulder_lift"))
    # mass times lever, by hand: 0.103 at 0.070, 0.104 at 0.206, 0.178 at 0.326 m
    assert robot.holding_effort("shoulder_lift") == pytest.approx(9.80665 * (0.00721 + 0.021424 + 0.058028))


SERVO = """
base: sts3215
model: strong
source: mine
motor: {stall_torque: 3.0, no_load_velocity: 5.0, voltage: 7.4, stall_current: 3.0}
"""


def mine(tmp_path, servo):
    """The SO-101 with a servo of the user's own, both files in a folder of their own."""
    data = yaml.safe_load((ROBOTS / "so101.yaml").read_text())
    data["joints"][0]["model"] = "strong.yaml"
    (tmp_path / "strong.yaml").write_text(servo)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(data))
    return tmp_path / "mine.yaml"


def test_a_servo_of_the_users_own_lies_beside_the_robots_file(tmp_path, monkeypatch):
    path = mine(tmp_path, SERVO)
    monkeypatch.chdir("/")
    servo = ServoRobot.load(path).joints[0].servo
    assert (servo.model, servo.motor.stall_torque) == ("strong", 3.0)
    assert servo.register("goal_position").address == 42
    assert [register.name for register in servo.registers_in(40, 2)] == ["torque_enable", "acceleration"]


@pytest.mark.parametrize(
    ("servo", "message"),
    [
        ("[]", "a servo is a mapping"),
        ("base: sts3216\n", "did you mean 'sts3215'"),
        ("base: ../../../etc/passwd\n", "unknown servo"),
        ("model: x\n", "a servo is a mapping with base, or protocol and registers"),
        (SERVO + "registers: [1]\n", "a servo is a mapping with base, or protocol and registers"),
        (SERVO + "resolutions: 1\n", "did you mean 'resolution'"),
    ],
)
def test_a_servo_file_that_is_no_table_gives_one_line(servo, message, tmp_path):
    with pytest.raises(InvalidServo) as caught:
        ServoRobot.load(mine(tmp_path, servo))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
