"""A recording is whole and read back by its own definitions; readings survive their messages."""

from __future__ import annotations

import math
import signal
from pathlib import Path

import numpy as np
import pytest

from nerfbot.bridge.ros import reading_messages
from nerfbot.bridge.rover_observation import observation
from nerfbot.errors import InvalidCommand
from nerfbot.hardware.errors import InvalidSetup
from nerfbot.hardware.ros.message_types import definition, message_class
from nerfbot.hardware.ros.recorder_node import TOPICS
from nerfbot.hardware.safety.localisation import PlanarPose
from nerfbot.sim.envs.rover_env import RoverEnv
from nerfbot.sim.plant.sensors import Detection, Readings
from nerfbot.sim.robots.description import RobotDescription
from tests.hardware.ros_world import Partner, a_world

ROVER = RobotDescription.load("rover")


def readings() -> Readings:
    detected = (
        Detection("coin-1", "coin", "yellow", "disc", 0.5, 2.0),
        Detection("b", "block", "", "", -0.2, 1.0),
    )
    lidar = np.full(ROVER.sensors.lidar.rays, 3.0)
    lidar[3] = math.inf
    pose, imu = np.array([1.0, 2.0, 0.7]), np.array([0.1, 0.2, 9.8, 0.0, 0.0, 0.3])
    return Readings.of(lidar, pose, np.array([0.4, -0.1]), imu, np.array([[1.0, 2.0], [3.0, 4.0]]), detected)


def test_readings_survive_their_messages() -> None:
    sent, stamp = readings(), reading_messages.time_message(1.25)
    start = PlanarPose(0.5, 0.25, math.pi / 2)
    collected = reading_messages.ReadingsCollector(start)
    assert collected.readings() is None
    odom = start.inverse().compose(PlanarPose(*sent.pose.tolist()))
    collected.take_odometry(reading_messages.odometry(odom, 0.4, -0.1, stamp))
    collected.take_scan(reading_messages.scan(sent.lidar, ROVER, 0.05, stamp))
    collected.take_imu(reading_messages.imu(sent.imu, 0.7, stamp))
    collected.take_joints(reading_messages.joint_states(["l", "r"], sent.joints, [0.0, 0.0], stamp))
    collected.take_objects(reading_messages.objects(sent.objects, stamp))
    back = collected.readings()
    assert back is not None
    assert back.pose == pytest.approx(sent.pose)
    assert back.twist == pytest.approx(sent.twist)
    assert back.imu == pytest.approx(sent.imu)
    assert back.joints == pytest.approx(sent.joints)
    assert back.lidar[3] == ROVER.sensors.lidar.range
    for mine, theirs in zip(back.objects, sent.objects, strict=True):
        assert mine[:4] == theirs[:4]
        assert mine[4:] == pytest.approx(theirs[4:])


@pytest.mark.parametrize("seconds", [0.0, 1.0, 1.05, 2.999999999, 1e6 + 0.15])
def test_a_stamp_is_the_time_to_the_nanosecond(seconds: float) -> None:
    stamp = reading_messages.time_message(seconds)
    assert 0 <= stamp.nanosec < 1_000_000_000
    assert stamp.sec + 1e-9 * stamp.nanosec == pytest.approx(seconds, abs=2e-9)


@pytest.mark.parametrize("robot", ["rover", "a1"])
@pytest.mark.parametrize("kind", ["dict", "flat"])
@pytest.mark.parametrize("reveal", [True, False])
def test_a_policy_gets_the_observation_of_its_training_on_a_robot(
    robot: str, kind: str, reveal: bool
) -> None:
    more = {"observation": kind, "reveal_lift": reveal}
    env = RoverEnv(course="coin-in-corner", nerf="none", robot=robot, **more)
    expected, _ = env.reset(seed=1)
    space = env.observation_space
    parts = {"": space} if kind == "flat" else dict(space.spaces)  # type: ignore[attr-defined]
    read = env.nerfed.plant.observe()
    np.minimum(read.lidar, env.nerfed.plant.sensors.range, out=read.lidar)
    observed = observation(parts, read, np.zeros(4), 0.0, 0.0)
    env.close()
    if kind == "flat":
        assert observed == pytest.approx(expected, abs=1e-5)
    else:
        assert observed.keys() == expected.keys()
        for name in observed:
            assert observed[name] == pytest.approx(expected[name], abs=1e-5)


def test_a_part_that_no_sensor_gives_is_named() -> None:
    with pytest.raises(InvalidCommand, match="'smell'"):
        observation({"smell": None}, readings(), np.zeros(4), 0.0, 0.0)
    assert observation({"objects": None}, readings(), np.zeros(4), 0.0, 0.0)["objects"][0, 0] == 1.0


@pytest.mark.parametrize("name", sorted(set(TOPICS.values())))
def test_each_recorded_type_has_a_class_and_a_whole_definition(name: str) -> None:
    message_class(name)
    text = definition(name)
    assert "MSG:" in text or "/" not in text.split("#")[0]


@pytest.mark.parametrize("name", ["std_msgs/msg/Nothing", "Twist", "no_such_msgs/msg/Twist"])
def test_a_type_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(InvalidSetup, match=name):
        message_class(name)


@pytest.mark.realtime
def test_a_recording_ended_by_a_signal_is_whole(tmp_path: Path) -> None:
    reader = pytest.importorskip("mcap_ros2.reader", reason="mcap-ros2-support is not installed")
    path = tmp_path / "run.mcap"
    with a_world() as world:
        partner = Partner(world, "cmd_vel", "nothing")
        process = world.start("hardware.ros.recorder_node", file=path)
        partner.until(lambda: "recording" in partner.reasons("recorder"))
        partner.until(lambda: partner.publisher.get_subscription_count() == 1)
        for number in range(20):
            partner.send(0.01 * number)
            partner.spin(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30.0) == 0
        partner.close()
        again = world.start("hardware.ros.recorder_node", file=path)
        assert "not there yet" in world.refusal(again)
    speeds = [
        message.ros_msg.twist.linear.x
        for message in reader.read_ros2_messages(str(path))
        if message.channel.topic == "/cmd_vel"
    ]
    assert len(speeds) >= 15
    assert speeds == sorted(speeds)
