"""A recording is whole and read back by its own definitions; readings survive their messages."""

from __future__ import annotations

import math
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from nerfbot.bridge.ros import reading_messages
from nerfbot.bridge.rover_observation import observation
from nerfbot.errors import InvalidCommand
from nerfbot.hardware.errors import InvalidSetup
from nerfbot.hardware.ros.base_node import STATE_QOS
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


def counts(folder: Path) -> dict[str, int]:
    """Messages by topic, as the metadata has them."""
    text = yaml.safe_load((folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    return {row["topic_metadata"]["name"]: row["message_count"] for row in text["topics_with_message_count"]}


@pytest.mark.realtime
def test_a_recorder_that_is_killed_goes_on_in_the_same_bag_and_its_qualities_of_service_are_there(
    tmp_path: Path,
) -> None:
    pytest.importorskip("mcap", reason="mcap is not installed")
    path = tmp_path / "run.mcap"
    with a_world() as world:
        partner = Partner(world, "cmd_vel", "nothing")
        lift = partner.node.create_publisher(Float64MultiArray, "lift", STATE_QOS)
        lift.publish(Float64MultiArray(data=[0.0, 0.5, 0.0, 0.0]))
        seen = partner.node.create_publisher(JointState, "joint_states_nerfed", 10)
        random = np.random.default_rng(0)
        for attempt in range(2):
            process = world.start("hardware.ros.recorder_node", file=path, resume=True)
            partner.diagnostics.clear()
            partner.until(lambda: "recording" in partner.reasons("recorder"))
            partner.until(lambda: partner.publisher.get_subscription_count() > 0)
            partner.until(lambda: seen.get_subscription_count() > 0)
            end = time.monotonic() + 3.0  # so long that most is on the disk
            while time.monotonic() < end:
                partner.send(0.1)
                seen.publish(JointState(position=random.random(400).tolist()))
                partner.spin(0.005)
            process.send_signal(signal.SIGINT if attempt else signal.SIGKILL)
            assert process.wait(timeout=30.0) == (0 if attempt else -signal.SIGKILL)
        assert "run.mcap" in partner.values("recorder")["repaired"]
        partner.close()
    information = yaml.safe_load((tmp_path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert information["relative_file_paths"] == ["run.mcap", "run_1.mcap"]
    first, second = (row["message_count"] for row in information["files"])
    assert first > 50
    assert second > 50
    assert information["message_count"] == first + second == sum(counts(tmp_path).values())
    assert {"/cmd_vel", "/lift", "/joint_states_nerfed"} <= counts(tmp_path).keys()
    topics = {
        row["topic_metadata"]["name"]: row["topic_metadata"]
        for row in information["topics_with_message_count"]
    }
    (offered,) = yaml.safe_load(topics["/lift"]["offered_qos_profiles"])
    assert (offered["reliability"], offered["durability"]) == (1, 1)  # reliable, transient local
    assert yaml.safe_load(topics["/cmd_vel"]["offered_qos_profiles"])[0]["durability"] == 2  # volatile
    read_with_rosbags(tmp_path, counts(tmp_path))


def read_with_rosbags(folder: Path, expected: dict[str, int]) -> None:
    """An independent reader finds the same, where it is installed."""
    highlevel = pytest.importorskip("rosbags.highlevel", reason="rosbags is not installed")
    with highlevel.AnyReader([folder]) as reader:
        found = {connection.topic: connection.msgcount for connection in reader.connections}
        assert found == expected
        (lift,) = [item for item in reader.connections if item.topic == "/lift"]
        (qos,) = lift.ext.offered_qos_profiles
        assert qos.durability.name.lower() == "transient_local"
        read = [reader.deserialize(raw, item.msgtype) for item, _, raw in reader.messages(connections=[lift])]
    assert [message.data.tolist() for message in read] == [[0.0, 0.5, 0.0, 0.0]] * 2


def test_what_a_policy_sees_is_recorded() -> None:
    from nerfbot.hardware.ros.sensor_formats import SENSOR_MESSAGES

    topics = [item.topic for item in SENSOR_MESSAGES.values()] + ["objects"]
    assert {f"{topic}_nerfed" for topic in topics} <= TOPICS.keys()
