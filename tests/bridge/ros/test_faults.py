"""Each process of the chain killed, stopped or hung while the robot drives: the robot comes to rest.

The time that takes is measured by `nerfbot bench ros`; here it must come, for the reason it should.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")

from nav_msgs.msg import Odometry

from nerfbot.hardware.errors import NoAnswer
from nerfbot.hardware.safety.requests import SupervisorClient
from tests.hardware.ros_world import PATIENCE, TWIST_LIMITS, Partner, World, a_world, partnered

pytestmark = pytest.mark.realtime

FAULTS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "hang": signal.SIGUSR1}
# A handler that does not return leaves a live process with live DDS threads and a stuck loop
HANGABLE = (
    "import signal, sys, time, importlib; signal.signal(signal.SIGUSR1, lambda *_: time.sleep(1e6));"
    "sys.exit(importlib.import_module('{module}').main())"
)


class Chain(Partner):
    """The test is the policy: it drives to and fro."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "cmd_vel_policy", "cmd_vel")
        self.measured = self.ahead = 0.0
        self._start: Any = None
        self.node.create_subscription(Odometry, "odom", self._take, 10)
        paths = {name: world.folder / name for name in ("permit.gate", "permit.nerf", "supervisor")}
        chain = {"supervisor_socket": paths["supervisor"], "use_odometry": False, **TWIST_LIMITS}
        self.settings: dict[str, tuple[str, dict[str, Any]]] = {
            "plant": ("bridge.ros.plant_node", {"course": "corner", "publish_clock": False}),
            "supervisor": (
                "hardware.ros.supervisor_node",
                {
                    "supervisor_socket": paths["supervisor"],
                    "permit_sockets": f"[{paths['permit.gate']}, {paths['permit.nerf']}]",
                    "state_folder": world.folder / "state",
                },
            ),
            "gate": ("hardware.ros.gate_node", {**chain, "permit_socket": paths["permit.gate"]}),
            "nerf": (
                "hardware.ros.nerf_node",
                {**chain, "permit_socket": paths["permit.nerf"], "nerf": "rover-slow"},
            ),
        }
        self.running = {name: self.start(name) for name in self.settings}
        self.until(lambda: self.measured > 0.2, self.drive)
        self.until(lambda: self.measured < -0.2, self.back)

    def _take(self, message: Odometry) -> None:
        self.measured = message.twist.twist.linear.x
        pose = message.pose.pose
        if self._start is None:
            self._start, self._turn = pose.position, pose.orientation
        ahead = 1.0 - 2.0 * self._turn.z**2, 2.0 * self._turn.w * self._turn.z
        away = pose.position.x - self._start.x, pose.position.y - self._start.y
        self.ahead = away[0] * ahead[0] + away[1] * ahead[1]

    def rewind(self) -> None:
        """Drive to where it started, so that there is room to both sides."""
        if self.ahead > 0.0:
            self.until(lambda: self.ahead <= 0.0, self.back)
        else:
            self.until(lambda: self.ahead >= 0.0, self.drive)

    def restart(self, name: str) -> None:
        """Kill a process and start it anew."""
        process = self.running[name]
        process.kill()
        process.wait()
        self.running[name] = self.start(name)

    def start(self, name: str) -> subprocess.Popen[str]:
        module, parameters = self.settings[name]
        return self.world.start(module, code=HANGABLE.format(module=f"nerfbot.{module}"), **parameters)

    def drive(self, *_: Any, **__: Any) -> None:
        self.send(0.25)

    def back(self) -> None:
        self.send(-0.25)


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    yield from partnered(Chain)


@pytest.fixture(autouse=True)
def room(chain: Chain) -> None:
    """Every test, and every new try of one, begins in the middle."""
    chain.rewind()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["supervisor", "nerf", "gate"])
def test_the_robot_rests_after(chain: Chain, name: str, fault: str) -> None:
    process = chain.running[name]
    chain.until(lambda: chain.measured > 0.2, chain.drive)
    os.kill(process.pid, FAULTS[fault])
    chain.until(lambda: abs(chain.measured) < 0.02, chain.drive)
    if fault == "stop":
        os.kill(process.pid, signal.SIGCONT)
    else:
        chain.restart(name)
    # ... and then it follows again
    chain.until(lambda: chain.measured < -0.2, chain.back)
    chain.until(lambda: abs(chain.measured) < 0.02)


def test_the_robot_rests_when_the_policy_falls_silent(chain: Chain) -> None:
    chain.until(lambda: chain.measured > 0.2, chain.drive)
    chain.until(lambda: abs(chain.measured) < 0.02)
    chain.until(lambda: chain.measured < -0.2, chain.back)


def request(chain: Chain, kind: str, **fields: Any) -> dict[str, Any]:
    with SupervisorClient(chain.world.folder / "supervisor") as client:
        return client.request(kind, timeout=PATIENCE, **fields)


def answers(chain: Chain) -> bool:
    try:
        return bool(request(chain, "status")["ok"])
    except NoAnswer:
        return False


def probed(chain: Chain) -> str:
    """What a probe of the robot's own time-out has shown."""
    before = len(logged(chain, "backstop"))
    chain.until(lambda: request(chain, "backstop", reason="test")["ok"], chain.drive)
    chain.until(lambda: len(logged(chain, "backstop")) > before, chain.drive)
    return str(request(chain, "status")["backstop"])


def test_the_robots_own_time_out_is_shown_by_a_silent_gate_before_any_lift(chain: Chain) -> None:
    grant = {"axes": {"strength": 1.0}, "duration": 1.0, "ramp": 0.0, "reason": "test"}
    chain.restart("supervisor")  # so that nothing is shown yet, in a second try either
    chain.until(lambda: answers(chain))
    chain.until(lambda: abs(chain.measured) < 0.02 and abs(request(chain, "status")["speed"]) < 0.02)
    assert "must drive" in request(chain, "backstop", reason="test")["detail"]
    assert request(chain, "grant", **grant)["reason"] == "no-backstop"
    # A machine that is held up may decide too late, which is safe: repeat
    assert any(probed(chain).startswith("shown: at rest") for _ in range(3))
    assert request(chain, "grant", **grant)["reason"] != "no-backstop"
    chain.until(lambda: chain.measured < -0.2, chain.back)


def test_a_supervisor_that_is_to_prove_it_probes_in_the_first_slow_drive(chain: Chain) -> None:
    settings = chain.settings["supervisor"][1]
    settings |= {"prove_backstop": True, "backstop": "a name is no proof"}
    try:
        chain.restart("supervisor")
        chain.until(lambda: answers(chain))
        grant = {"axes": {"strength": 1.0}, "duration": 1.0, "ramp": 0.0, "reason": "test"}
        refused = request(chain, "grant", **grant)
        assert refused["reason"] == "no-backstop"
        assert "is not shown yet" in refused["detail"]
        chain.until(lambda: request(chain, "status")["backstop"].startswith("shown: at rest"), chain.drive)
        chain.until(lambda: chain.measured > 0.2, chain.drive)  # ... and the robot is followed again
    finally:
        for name in ("prove_backstop", "backstop"):
            settings.pop(name)
        chain.restart("supervisor")


def test_a_robot_without_a_time_out_of_its_own_gets_no_lift(chain: Chain) -> None:
    """The plant is stopped, so that its odometry goes on telling the speed it had last."""
    before = len(logged(chain, "backstop"))
    chain.until(lambda: request(chain, "backstop", reason="test")["ok"], chain.back)
    os.kill(chain.running["plant"].pid, signal.SIGSTOP)
    fake = chain.node.create_publisher(Odometry, "odom", 1)
    message = Odometry()
    message.twist.twist.linear.x = -0.2

    def each() -> None:
        chain.back()
        fake.publish(message)

    try:
        chain.until(lambda: len(logged(chain, "backstop")) > before, each)
    finally:
        os.kill(chain.running["plant"].pid, signal.SIGCONT)
        chain.node.destroy_publisher(fake)
    assert "did not stop" in logged(chain, "backstop")[-1]
    assert request(chain, "status")["backstop"] == ""


def logged(chain: Chain, event: str) -> list[str]:
    """The details of an event in the audit log, one each time."""
    log = chain.world.folder / "state" / "audit.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines() if f'"{event}"' in line]
    return [line["fields"]["detail"] for line in lines if line["event"] == event]


def test_a_sender_in_another_domain_is_not_heard(chain: Chain) -> None:
    chain.until(lambda: abs(chain.measured) < 0.02)
    with a_world() as elsewhere:
        other = Partner(elsewhere, "cmd_vel_policy", "cmd_vel")
        for _ in range(20):
            other.send(0.25)
            other.spin(0.02)
            chain.spin(0.02)
        other.close()
    assert abs(chain.measured) < 0.02


def test_a_flood_is_refused_as_a_second_publisher_and_the_robot_rests(chain: Chain) -> None:
    chain.until(lambda: chain.measured > 0.2, chain.drive)
    flood = chain.node.create_publisher(type(chain.message(0.0)), "cmd_vel_policy", 1)

    def both() -> None:
        for _ in range(20):
            chain.send(0.25)
            flood.publish(chain.message(0.25))

    chain.until(lambda: abs(chain.measured) < 0.02, both)
    assert any("second-publisher" in reason for reason in chain.reasons("nerf"))
    chain.node.destroy_publisher(flood)
