"""`nerfbot bringup sim` as a user runs it: over DDS, with leases, a recording, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")

from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from nerfbot.bridge.ros.bringup_plan import commands_of
from nerfbot.limits import AXES
from nerfbot.powers.audit import verify
from nerfbot.sim.robots.description import RobotDescription
from tests.bridge.bringups import MAIN, BringUp
from tests.hardware.ros_world import Partner, a_world, fresh_domain

pytestmark = pytest.mark.realtime


@pytest.mark.slow
def test_the_gauntlet_is_passed_under_leases_and_its_recording_shows_each(bring_up) -> None:
    """Each obstacle takes a lease of its axis: the recording has its grant, its lift, its end."""
    reader = pytest.importorskip("mcap_ros2.reader", reason="mcap-ros2-support is not installed")
    run = bring_up()
    run.until(lambda: "task over" in run.log.read_text(), 150.0)
    assert not run.shares_memory()
    assert '"success": true' in run.log.read_text()
    with run.supervisor() as client:
        assert client.request("estop", reason="test")["ok"]
        run.until(lambda: client.request("status")["stop"] == "estop: test")
        run.until(lambda: abs(client.request("status")["speed"]) < 0.02)
        refused = client.request("grant", axes={"strength": 1.0}, duration=1.0, ramp=0.0, reason="test")
        assert refused["reason"] == "latched"
    assert run.end() == 0
    assert not (run.folder / "supervisor.path").exists()
    assert verify(run.folder / "audit.jsonl").lines == len(run.audit())

    topics: Counter[str] = Counter()
    audit, lifts, fastest = [], [], 0.0
    for message in reader.read_ros2_messages(str(run.folder / "recording.mcap")):
        topic = message.channel.topic
        topics[topic] += 1
        if topic == "/lift":
            lifts.append(message.ros_msg.data)
        elif topic == "/audit":
            audit.append(json.loads(message.ros_msg.data))
        elif topic == "/cmd_vel":
            fastest = max(fastest, message.ros_msg.twist.linear.x)
    assert {"/odom", "/scan", "/scan_nerfed", "/cmd_vel_policy", "/cmd_vel_nerfed", "/clock"} <= set(topics)
    granted = {item["lease"]: item for item in audit if item["event"] == "grant"}
    returned = {item["lease"]: item["reason"] for item in audit if item["event"] in ("return", "revoke")}
    assert {axis for lease in granted.values() for axis in lease["axes"]} == set(AXES)
    assert returned.keys() == granted.keys()
    assert "expired" in returned.values()
    leases = ("grant", "return", "revoke")
    written = [item["hash"] for item in run.audit() if item["event"] in leases]
    assert [item["hash"] for item in audit if item["event"] in leases] == written
    assert np.max(lifts, axis=0) == pytest.approx(np.ones(len(AXES)), abs=0.01)
    assert lifts[-1] == pytest.approx(np.zeros(len(AXES)))
    assert 0.4 < fastest <= 1.2 + 1e-9  # rover-weak's speed, lifted

    again = BringUp(run.folder, "record:=false", "policy:=none")
    try:
        with again.supervisor() as client:
            assert client.request("status", timeout=10.0)["estop"] == "test"
    finally:
        again.end()


@pytest.mark.slow
def test_a_legged_robot_walks_joint_by_joint_through_the_chain(bring_up) -> None:
    """Joint trajectories, and caps on effort, through nerf and gate."""
    arguments = ["robot:=a1", "course:=dash", "record:=false", "leases:=false"]
    run = bring_up(*arguments, domain=(domain := fresh_domain()))
    with a_world(domain) as world:
        listener = Partner(world, "unused", "nothing")
        walked, efforts = [], []
        listener.node.create_subscription(
            Odometry, "odom", lambda m: walked.append(m.pose.pose.position.x), 10
        )
        listener.node.create_subscription(
            JointState, "joint_states", lambda m: efforts.append(max(map(abs, m.effort))), 10
        )
        listener.until(lambda: bool(walked) and walked[-1] > 0.1)
        efforts.clear()  # before it was commanded, it fell onto its feet with all its strength
        listener.until(lambda: walked[-1] > 0.5)
        listener.close()
    assert 1.0 < max(efforts) <= 10.0 + 1e-6  # a1-weak's strength, of 33.5
    assert run.end() == 0


@pytest.mark.slow
def test_a_saved_policy_commands_joints(bring_up, tmp_path: Path) -> None:
    """One that always wants the same, so that what it sends is known."""
    torch = pytest.importorskip("torch")
    from nerfbot.agents.heads import head_for
    from nerfbot.agents.network_config import NetworkConfig
    from nerfbot.agents.networks import ActorCritic
    from nerfbot.agents.policy import Policy
    from nerfbot.bridge.compatibility import rover_layout_of
    from nerfbot.sim.envs.rover_env import RoverEnv

    env = RoverEnv(robot="a1", nerf="a1-weak", course="dash", powers=())
    parts = {"joints": env.observation_space["joints"]}
    network = ActorCritic(parts, head_for(env.action_space), NetworkConfig(hidden=(8,)))
    with torch.no_grad():
        for weights in network.parameters():
            weights.zero_()
    about = {"layout": rover_layout_of(env, 0.05)}
    policy = Policy(network, parts, torch.nn.ModuleDict(), env.action_space, about)
    policy.save(tmp_path / "it")
    expected = policy.act({"joints": np.zeros((2, 12), np.float32)})
    env.close()
    domain = fresh_domain()
    arguments = ["robot:=a1", "course:=dash", "record:=false", f"policy:={tmp_path / 'it'}"]
    run = bring_up(*arguments, domain=domain)
    with a_world(domain) as world:
        listener = Partner(world, "unused", "nothing")
        commands: list[JointTrajectory] = []
        listener.node.create_subscription(JointTrajectory, "cmd_vel_policy", commands.append, 10)
        listener.until(lambda: len(commands) > 5)
        listener.close()
    assert len(commands[-1].joint_names) == 12
    assert list(commands[-1].points[0].positions) == pytest.approx(np.ravel(expected).tolist(), abs=1e-3)
    assert run.end() == 0


@pytest.mark.slow
def test_an_essential_node_that_dies_ends_everything_and_says_so(bring_up) -> None:
    run = bring_up("record:=false", "policy:=none")
    run.until(lambda: "stop: command: none yet" in run.log.read_text())
    os.kill(run.node("gate"), signal.SIGKILL)
    run.process.wait(timeout=40.0)
    assert run.process.returncode == 1
    assert "gate ended with -9" in run.log.read_text()


@pytest.mark.slow
def test_the_hardware_bring_up_drives_a_robot_that_has_topics_of_its_own(bring_up, tmp_path: Path) -> None:
    """The simulated robot stands for one: its node is none of the bring-up's."""
    limits = commands_of(RobotDescription.load("rover"))
    settings = {"cmd_vel_timeout": 0.5} | {k: v for k, v in limits.items() if not k.endswith("effort")}
    params = tmp_path / "robot.yaml"
    params.write_text(yaml.safe_dump({"/**": {"ros__parameters": settings}}))
    with a_world() as world:
        world.start("bridge.ros.plant_node", course="corner", publish_clock=False)
        partner = Partner(world, "cmd_vel_policy", "cmd_vel")
        speeds: list[float] = []
        partner.node.create_subscription(
            Odometry, "odom", lambda m: speeds.append(m.twist.twist.linear.x), 10
        )
        arguments = ["record:=false", "policy:=none", "nerf:=rover-slow", f"params_file:={params}"]
        run = bring_up(*arguments, kind="hardware", domain=world.domain)
        with run.supervisor() as client:
            partner.until(lambda: bool(speeds) and speeds[-1] > 0.3, lambda: partner.send(1.5))
            refused = client.request("grant", axes={"speed": 1.0}, duration=1.0, ramp=0.0, reason="test")
            assert refused["reason"] == "no-backstop"
        assert max(message.twist.linear.x for _, message in partner.received) <= 0.4 + 1e-9  # rover-slow's
        assert run.end() == 0
        partner.until(lambda: abs(speeds[-1]) < 0.02)
        partner.close()


@pytest.mark.slow
def test_a_robot_without_a_time_out_is_braked_when_the_gate_is_killed(bring_up, tmp_path: Path) -> None:
    """The test is the robot: it would go on by the last command that it has received."""
    settings = {k: v for k, v in commands_of(RobotDescription.load("rover")).items() if "effort" not in k}
    params = tmp_path / "robot.yaml"
    settings |= {"cmd_vel_timeout": 0.5, "use_odometry": False}
    params.write_text(yaml.safe_dump({"/**": {"ros__parameters": settings}}))
    with a_world() as world:
        robot = Partner(world, "cmd_vel_policy", "cmd_vel")
        arguments = ["record:=false", "policy:=none", "nerf:=rover-slow", f"params_file:={params}"]
        run = bring_up(*arguments, kind="hardware", domain=world.domain)
        robot.until(lambda: robot.speed > 0.3, lambda: robot.send(1.5))
        os.kill(run.node("gate"), signal.SIGKILL)
        robot.until(lambda: robot.speed == 0.0, lambda: robot.send(1.5))
        robot.until(lambda: run.process.poll() is not None)
        assert run.process.returncode == 1
        assert robot.speed == 0.0
        robot.close()


@pytest.mark.slow
def test_one_emergency_stop_stops_two_driving_robots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in a namespace of its own; the command is given in another folder."""
    with tempfile.TemporaryDirectory(prefix="nb") as temporary:
        monkeypatch.setenv("TMPDIR", temporary)
        domain, names = fresh_domain(), ("left", "right")
        runs = [
            BringUp(tmp_path / name, f"namespace:={name}", "record:=false", kind="hil", domain=domain)
            for name in names
        ]
        try:
            clients = [run.supervisor() for run in runs]
            for run, client in zip(runs, clients, strict=True):
                run.until(lambda client=client: client.request("status", timeout=10.0)["speed"] > 0.1)
            words = [sys.executable, "-c", MAIN, "estop", "--json"]
            done = subprocess.run(words, capture_output=True, text=True, cwd=temporary)
            answer = json.loads(done.stdout)
            assert done.returncode == 0, answer
            assert [item["name"] for item in answer["robots"]] == list(names)
            for run, client in zip(runs, clients, strict=True):
                run.until(lambda client=client: abs(client.request("status", timeout=10.0)["speed"]) < 0.02)
                client.close()
        finally:
            assert [run.end() for run in runs] == [0, 0]


@pytest.mark.slow
def test_a_nerf_that_dies_is_started_again(bring_up) -> None:
    run = bring_up("record:=false", "policy:=none")
    run.until(lambda: "[nerf]: envelope" in run.log.read_text())
    before = run.node("nerf")
    os.kill(before, signal.SIGKILL)
    run.until(lambda: "starting it again" in run.log.read_text())
    run.until(lambda: run.log.read_text().count("[nerf]: envelope") == 2)
    assert run.node("nerf") != before


@pytest.mark.parametrize("argument", ["corse:=x", "course"])
def test_a_bad_argument_is_one_line_and_exit_code_2(argument: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "bringup", "sim", argument], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
