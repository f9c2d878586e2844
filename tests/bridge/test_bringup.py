"""`nerfbot bringup sim` as a user runs it: over DDS, with leases, a recording, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")

from nav_msgs.msg import Odometry
from ros import PATIENCE, Partner, a_world, fresh_domain

from nerfbot.bridge.plan import ROVER_LIMITS
from nerfbot.hardware.requests import SupervisorClient
from nerfbot.powers.audit import verify

MAIN = "import sys; from nerfbot.cli import main; sys.exit(main())"


class BringUp:
    def __init__(self, folder: Path, *arguments: str, kind: str = "sim", domain: int = 0) -> None:
        self.folder = folder
        domain = domain or fresh_domain()
        self.environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), "OMP_NUM_THREADS": "1"}
        words = ["bringup", kind, f"run_folder:={folder}", *arguments]
        self.log = folder.with_suffix(".log")
        with open(self.log, "w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", MAIN, *words],
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def supervisor(self) -> SupervisorClient:
        self.until(lambda: (self.folder / "supervisor.path").exists())
        path = Path((self.folder / "supervisor.path").read_text().strip())
        self.until(path.exists)
        return SupervisorClient(path)

    def audit(self) -> list[dict]:
        path = self.folder / "audit.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def events(self) -> Counter[str]:
        return Counter(event["event"] for event in self.audit())

    def until(self, holds: object, seconds: float = 2 * PATIENCE) -> None:
        end = time.monotonic() + seconds
        while not holds():  # type: ignore[operator]
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            assert time.monotonic() < end, self.log.read_text()[-2000:]
            time.sleep(0.05)

    def children(self) -> list[int]:
        """The nodes that run, by the run folder in their arguments."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if f"{self.folder}/params".encode() in path.read_bytes():
                    found.append(int(path.parent.name))
            except OSError:
                continue
        return found

    def node(self, name: str) -> int:
        """The process of one node."""
        for pid in self.children():
            if f"/{name}.yaml".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        raise AssertionError(f"{name} does not run")

    def end(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=40.0)


@pytest.fixture
def bring_up(tmp_path: Path) -> Iterator:
    started: list[BringUp] = []

    def start(*arguments: str, **more: Any) -> BringUp:
        started.append(BringUp(tmp_path / "run", *arguments, **more))
        return started[-1]

    yield start
    for item in started:
        item.end()
        assert item.children() == []


@pytest.mark.slow
def test_the_rover_drives_under_leases_and_the_recording_is_read_back(bring_up, tmp_path: Path) -> None:
    reader = pytest.importorskip("mcap_ros2.reader", reason="mcap-ros2-support is not installed")
    run = bring_up()
    run.until(lambda: run.events()["grant"] >= 1 and run.events()["return"] >= 1, 60.0)
    with run.supervisor() as client:
        assert client.ask("estop", reason="test")["ok"]
        run.until(lambda: client.ask("status")["stop"] == "estop: test")
        run.until(lambda: abs(client.ask("status")["speed"]) < 0.02)
        refused = client.ask("grant", axes={"strength": 1.0}, duration=1.0, ramp=0.0, reason="test")
        assert refused["reason"] == "latched"
    assert run.end() == 0
    assert not (run.folder / "supervisor.path").exists()
    assert verify(run.folder / "audit.jsonl").lines == len(run.audit())

    lifts, told, topics = [], [], Counter()
    fastest = 0.0
    for message in reader.read_ros2_messages(str(run.folder / "recording.mcap")):
        topic = message.channel.topic
        topics[topic] += 1
        if topic == "/lift":
            lifts.append(max(message.ros_msg.data))
        elif topic == "/audit":
            told.append(json.loads(message.ros_msg.data)["event"])
        elif topic == "/cmd_vel":
            fastest = max(fastest, message.ros_msg.twist.linear.x)
    assert {"/odom", "/scan", "/scan_nerfed", "/cmd_vel_policy", "/cmd_vel_nerfed", "/clock"} <= set(topics)
    assert max(lifts) == pytest.approx(1.0, abs=0.01)
    assert lifts[-1] == 0.0
    assert {"grant", "return", "estop"} <= set(told)
    assert 0.0 < fastest <= 0.4 + 1e-9  # the nerf's: no lease lifted the speed

    again = BringUp(run.folder, "record:=false", "policy:=none")
    try:
        with again.supervisor() as client:
            assert client.ask("status", timeout=10.0)["estop"] == "test"
    finally:
        again.end()


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
    limits = {key: value for key, value in ROVER_LIMITS.items() if not key.endswith("effort")}
    settings = {"channels": ["linear.x", "angular.z"], "cmd_vel_timeout": 0.5, **limits}
    params = tmp_path / "robot.yaml"
    params.write_text(yaml.safe_dump({"/**": {"ros__parameters": settings}}))
    with a_world() as world:
        world.start("bridge.plant", course="corner", publish_clock=False)
        partner = Partner(world, "cmd_vel_policy", "cmd_vel")
        speeds: list[float] = []
        partner.node.create_subscription(
            Odometry, "odom", lambda m: speeds.append(m.twist.twist.linear.x), 10
        )
        words = ["record:=false", "policy:=none", "nerf:=rover-slow", f"params_file:={params}"]
        run = bring_up(*words, kind="hardware", domain=world.domain)
        with run.supervisor() as client:
            partner.until(lambda: bool(speeds) and speeds[-1] > 0.3, lambda: partner.send(1.5))
            refused = client.ask("grant", axes={"speed": 1.0}, duration=1.0, ramp=0.0, reason="test")
            assert refused["reason"] == "no-backstop"
        assert max(message.twist.linear.x for _, message in partner.heard) <= 0.4 + 1e-9  # rover-slow's
        assert run.end() == 0
        partner.until(lambda: abs(speeds[-1]) < 0.02)
        partner.close()


@pytest.mark.slow
def test_a_nerf_that_dies_is_started_again(bring_up) -> None:
    run = bring_up("record:=false", "policy:=none")
    run.until(lambda: "[nerf]: envelope" in run.log.read_text())
    before = run.node("nerf")
    os.kill(before, signal.SIGKILL)
    run.until(lambda: "starting it again" in run.log.read_text())
    run.until(lambda: run.log.read_text().count("[nerf]: envelope") == 2)
    assert run.node("nerf") != before


@pytest.mark.parametrize("word", ["corse:=x", "course"])
def test_a_bad_argument_is_one_line_and_exit_code_2(word: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "bringup", "sim", word], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
