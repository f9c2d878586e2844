"""The supervisor as a process: its heartbeat, what it watches, and what an operator requests."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")

from nav_msgs.msg import Odometry
from sensor_msgs.msg import BatteryState, JointState, LaserScan, Temperature
from std_srvs.srv import Trigger

from nerfbot.cli import main
from nerfbot.course import load_course
from nerfbot.hardware.datagram import Mailbox
from nerfbot.hardware.safety.permit import PermitWatch
from nerfbot.hardware.safety.requests import SupervisorClient
from tests.hardware.ros_world import PATIENCE, Partner, World, a_world

pytestmark = pytest.mark.realtime


class Supervised(Partner):
    def __init__(self, world: World, **more: Any) -> None:
        super().__init__(world, "cmd_vel", "nothing")
        self.watch = PermitWatch()
        self.box = Mailbox(world.folder / "permit")
        self.x = 0.0
        self.settings = {
            "permit_sockets": f"[{world.folder / 'permit'}]",
            "supervisor_socket": world.folder / "sup",
            "state_folder": world.folder / "state",
            "backstop": "test",
            "origin_at_start": True,
            "odometry_timeout": 2.0,  # a busy machine is no silent robot
            "min_voltage": 10.0,
            "max_temperature": 80.0,
            "max_load": 5.0,
            **more,
        }
        self.battery = self.node.create_publisher(BatteryState, "battery_state", 1)
        self.temperature = self.node.create_publisher(Temperature, "temperature", 1)
        self.begin()

    def begin(self) -> None:
        self.process = self.world.start("hardware.ros.supervisor_node", **self.settings)
        self.until(lambda: (self.world.folder / "sup").exists())
        self.until(lambda: self.stop() == "" and self.request("status")["position"] is not None)

    def alive(self, speed: float = 0.0, gate_sends: bool = True) -> None:
        """Odometry and the gate's output, as a robot at rest has them; read the permits."""
        message = Odometry()
        message.pose.pose.position.x, message.pose.pose.orientation.w = self.x, 1.0
        message.twist.twist.linear.x = speed
        self.odometry.publish(message)
        if gate_sends:
            self.send(0.0)
        for data, pid, _ in self.box.read():
            self.watch.take(data, pid, time.monotonic())

    def stop(self) -> str:
        return self.watch.stop(time.monotonic())

    def until(self, holds: Any, each: Any = None) -> None:
        super().until(holds, each or self.alive)

    def request(self, kind: str, each: Any = None, **fields: Any) -> dict[str, Any]:
        """Send a request, while the robot goes on publishing its odometry."""

        def send() -> dict[str, Any]:
            with SupervisorClient(self.world.folder / "sup") as client:
                return client.request(kind, timeout=PATIENCE, **fields)

        return self.meanwhile(send, each)

    def meanwhile(self, act: Any, each: Any = None) -> Any:
        with ThreadPoolExecutor() as pool:
            done = pool.submit(act)
            self.until(done.done, each)
            return done.result()

    def granted(self, **more: Any) -> None:
        """Request a lease, in a zone, until it is granted."""
        into_a_zone(self)
        self.until(lambda: self.request("grant", **{**GRANT, **more})["ok"])

    def events(self) -> list[dict[str, Any]]:
        return [
            json.loads(line) for line in (self.world.folder / "state/audit.jsonl").read_text().splitlines()
        ]


GRANT = {"axes": {"strength": 1.0}, "duration": 1.0, "ramp": 0.0, "reason": "test"}


@pytest.fixture(scope="module")
def supervised() -> Iterator[Supervised]:
    with a_world() as world:
        partner = Supervised(world)
        yield partner
        partner.box.close()
        partner.close()


def into_a_zone(partner: Supervised) -> None:
    course = load_course("gauntlet")
    partner.until(lambda: partner.request("status")["position"] is not None)
    while partner.request("status")["position"][0] < course.centre(8, 3)[0]:
        partner.x += 0.05
        partner.until(lambda: partner.request("status")["position"] is not None)


def test_a_lease_lifts_the_permit_and_expires(supervised: Supervised) -> None:
    supervised.granted()
    supervised.until(lambda: supervised.watch.levels(time.monotonic())[0] == 1.0)
    supervised.until(lambda: supervised.watch.levels(time.monotonic())[0] == 0.0)
    assert [event["event"] for event in supervised.events()][-2:] == ["grant", "return"]


def test_silent_odometry_stops_and_takes_the_lease(supervised: Supervised) -> None:
    supervised.granted(duration=20.0)

    def silent() -> None:
        for data, pid, _ in supervised.box.read():
            supervised.watch.take(data, pid, time.monotonic())

    supervised.until(lambda: supervised.stop().startswith("odometry: silent"), silent)
    supervised.until(lambda: supervised.stop() == "")
    assert supervised.request("status")["leases"] == []


def test_a_scan_that_goes_stale_stops() -> None:
    with a_world() as world:
        partner = Supervised(world)
        out = partner.node.create_publisher(LaserScan, "scan", 1)
        scan = LaserScan(ranges=[1.0] * 8)

        def repeating() -> None:
            partner.alive()
            out.publish(scan)

        def scanning() -> None:
            scan.header.stamp = partner.node.get_clock().now().to_msg()
            repeating()

        partner.until(lambda: out.get_subscription_count() > 0)
        for step in (partner.alive, repeating):
            until = time.monotonic() + 1.5
            partner.until(lambda until=until: time.monotonic() > until, scanning)
            partner.until(lambda: partner.stop() == "", scanning)
            partner.until(lambda: partner.stop().startswith("scan: no new one"), step)
        partner.until(lambda: partner.stop() == "", scanning)
        partner.box.close()
        partner.close()


@pytest.mark.parametrize("efforts", [[math.nan, 1.0], [1.0, math.nan], [1.0, 9.0]])
def test_a_large_or_unknown_effort_refuses_lifts_and_a_message_without_efforts_says_nothing(
    supervised: Supervised, efforts: list[float]
) -> None:
    states = supervised.node.create_publisher(JointState, "joint_states", 1)

    def each(values: list[float] = efforts) -> None:
        supervised.alive()
        states.publish(JointState(name=["a", "b"], effort=values))

    supervised.until(lambda: "max_load" in supervised.request("status", each)["conditions"], each)
    for _ in range(5):
        each([])
        supervised.spin(0.02)
    assert "max_load" in supervised.request("status")["conditions"]
    supervised.until(
        lambda: "max_load" not in supervised.request("status")["conditions"], lambda: each([1.0, 1.0])
    )
    supervised.node.destroy_publisher(states)


@pytest.mark.parametrize("voltage", [9.0, math.nan])
def test_a_low_or_unknown_voltage_refuses_lifts(supervised: Supervised, voltage: float) -> None:
    def each() -> None:
        supervised.alive()
        supervised.battery.publish(BatteryState(voltage=voltage))

    supervised.until(lambda: "min_voltage" in supervised.request("status", each)["conditions"], each)
    assert supervised.request("grant", **GRANT)["reason"] == "not-now"
    supervised.battery.publish(BatteryState(voltage=12.0))
    supervised.until(lambda: "min_voltage" not in supervised.request("status")["conditions"])


def test_heat_stops(supervised: Supervised) -> None:
    supervised.until(lambda: supervised.temperature.get_subscription_count() > 0)
    supervised.temperature.publish(Temperature(temperature=95.0))
    supervised.until(lambda: supervised.stop().startswith("max_temperature"))
    supervised.temperature.publish(Temperature(temperature=40.0))
    supervised.until(lambda: supervised.stop() == "")


def test_a_jump_of_the_odometry_ends_the_lease_until_the_next_origin(supervised: Supervised) -> None:
    supervised.granted(duration=20.0)
    before = supervised.x
    supervised.x += 3.0
    supervised.until(lambda: supervised.request("status")["leases"] == [])
    assert "jump" in supervised.request("status")["position_problem"]
    assert supervised.request("grant", **GRANT)["reason"] == "no-position"
    supervised.x = before
    supervised.until(lambda: supervised.request("origin", reason="test")["ok"])


def test_services_mirror_the_socket(supervised: Supervised) -> None:
    for name, succeeds in (("revoke", True), ("set_origin", True)):
        client = supervised.node.create_client(Trigger, f"/supervisor/{name}")
        supervised.until(client.service_is_ready)
        future = client.call_async(Trigger.Request())
        supervised.until(future.done)
        assert future.result().success is succeeds


def call(supervised: Supervised, name: str) -> Any:
    client = supervised.node.create_client(Trigger, f"/supervisor/{name}")
    supervised.until(client.service_is_ready)
    future = client.call_async(Trigger.Request())
    supervised.until(future.done)
    return future.result()


def test_a_service_answers_while_the_audit_log_cannot_be_written(supervised: Supervised) -> None:
    with (supervised.world.folder / "state/audit.jsonl").open("ab") as file:
        file.write(b"x")
    assert call(supervised, "revoke").success
    assert call(supervised, "set_origin").success
    supervised.until(lambda: "audit" not in supervised.request("status")["conditions"])
    assert "gap" in [event["event"] for event in supervised.events()]


def test_a_service_that_fails_says_so_and_the_supervisor_goes_on(supervised: Supervised) -> None:
    latch = supervised.world.folder / "state/estop.json"
    assert call(supervised, "estop").success
    latch.unlink()
    latch.mkdir()
    try:
        answers = []
        supervised.until(
            lambda: answers.append(call(supervised, "clear_estop")) or "rest" not in answers[-1].message
        )
        assert not answers[-1].success
        assert "estop.json" in answers[-1].message
    finally:
        latch.rmdir()
    supervised.until(lambda: supervised.request("clear-estop", reason="test")["ok"])


def test_the_operators_commands_at_the_terminal(supervised: Supervised, capsys: Any) -> None:
    run = ["--run", str(supervised.world.folder / "sup")]

    def terminal(arguments: list[str]) -> int:
        return int(supervised.meanwhile(lambda: main(arguments)))

    into_a_zone(supervised)
    supervised.until(lambda: supervised.stop() == "")
    assert terminal(["lift", "status", *run]) == 0
    assert "permit    given" in capsys.readouterr().out
    assert terminal(["lift", "grant", "strength=0.5", "--reason", "test", *run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    assert terminal(["lift", "grant", "speed", "--reason", "test", *run]) == 1
    assert "refused: axis-not-allowed" in capsys.readouterr().err
    assert terminal(["lift", "revoke", *run]) == 0
    assert "1 revoked" in capsys.readouterr().out
    assert terminal(["watch", *run, "--seconds", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["severity"] in ("FINE", "NOTE", "NO_LIFT", "STOP")
    assert terminal(["watch", *run, "--seconds", "0.1"]) == 0
    assert "requested" in capsys.readouterr().out
    assert terminal(["lift", "grant", "strenght", "--reason", "test", *run]) == 2
    assert "axis 'strenght'" in capsys.readouterr().err
    assert terminal(["estop", "--run", str(supervised.world.folder / "nowhere")]) == 2
    assert "neither a run folder nor a socket" in capsys.readouterr().err


def test_a_malformed_request_is_answered_and_changes_nothing(supervised: Supervised) -> None:
    with pytest.raises(ValueError, match=r"axes\.strength: .*, got 7"):
        supervised.request("grant", **{**GRANT, "axes": {"strength": 7.0}})
    with pytest.raises(ValueError, match="reason is missing"):
        supervised.request("estop")
    assert supervised.request("status")["estop"] == ""


def test_an_estop_survives_kill_9_and_clears_only_at_rest(supervised: Supervised) -> None:
    assert supervised.request("estop", reason="button")["ok"]
    supervised.until(lambda: supervised.stop() == "estop: button")
    supervised.process.send_signal(signal.SIGKILL)
    supervised.process.wait()
    supervised.until(lambda: supervised.stop() == "the permit lapsed")
    supervised.process = supervised.world.start("hardware.ros.supervisor_node", **supervised.settings)
    supervised.until(lambda: supervised.stop() == "estop: button")

    def moving() -> None:
        supervised.alive(speed=0.3)

    supervised.until(lambda: supervised.request("status", moving)["speed"] == 0.3, moving)
    assert "at rest" in supervised.request("clear-estop", moving, reason="test")["detail"]
    supervised.until(lambda: supervised.request("status")["speed"] == 0.0)
    assert supervised.request("clear-estop", reason="test")["ok"]
    supervised.until(lambda: supervised.stop() == "")


def test_a_robot_that_does_not_follow_its_commands_gets_no_lift(supervised: Supervised) -> None:
    def off() -> None:
        supervised.alive(speed=1.0)  # and commanded 0

    supervised.granted(duration=20.0)
    supervised.until(lambda: "tracking" in supervised.request("status", off)["conditions"], off)
    assert supervised.request("status", off)["leases"] == []
    assert supervised.request("grant", off, **GRANT)["reason"] == "not-now"
    supervised.until(lambda: "tracking" not in supervised.request("status")["conditions"])


def test_a_gate_that_sends_nothing_gets_no_lift(supervised: Supervised) -> None:
    def mute() -> None:
        supervised.alive(gate_sends=False)

    supervised.until(lambda: "gate" in supervised.request("status", mute)["conditions"], mute)
    assert supervised.request("grant", mute, **GRANT)["reason"] == "not-now"
    supervised.until(lambda: "gate" not in supervised.request("status")["conditions"])


def test_an_estop_is_not_cleared_while_the_policy_requests_motion_or_garbage(
    supervised: Supervised,
) -> None:
    policy = supervised.node.create_publisher(type(supervised.message(0.0)), "cmd_vel_policy", 1)
    assert supervised.request("estop", reason="button")["ok"]
    for value in (0.3, math.nan):

        def requesting(value: float = value) -> None:
            supervised.alive()
            policy.publish(supervised.message(value))

        for _ in range(10):
            requesting()
            supervised.spin(0.03)
        assert "at rest" in supervised.request("clear-estop", requesting, reason="test")["detail"]
    supervised.node.destroy_publisher(policy)
    supervised.until(lambda: supervised.request("clear-estop", reason="test")["ok"])


def test_a_runaway_latches(supervised: Supervised) -> None:
    def fast() -> None:
        supervised.alive(speed=3.0)

    supervised.until(lambda: supervised.stop().startswith("runaway"), fast)
    assert "the cause persists: runaway" in supervised.request("clear-estop", fast, reason="test")["detail"]
    supervised.until(lambda: supervised.stop().startswith("estop: runaway"))
    supervised.until(lambda: supervised.request("clear-estop", reason="test")["ok"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"state_folder": "''"}, "state_folder"),
        ({"supervisor_socket": "''"}, "supervisor_socket"),
        ({"permit_valid": 0.06}, "permit_valid = 0.06"),
        ({"course": "gauntlte"}, "gauntlte"),
        ({"drift": -1.0}, "drift = -1.0"),
    ],
)
def test_it_does_not_start_without_what_it_needs(change: dict[str, object], named: str) -> None:
    with a_world() as world:
        settings = {"state_folder": world.folder, "supervisor_socket": world.folder / "s", **change}
        assert named in world.refusal(world.start("hardware.ros.supervisor_node", **settings))


def test_simulated_time_that_stands_still_stops() -> None:
    with a_world() as world:
        partner = Supervised.__new__(Supervised)
        Partner.__init__(partner, world, "cmd_vel", "nothing")
        partner.watch, partner.box, partner.x = PermitWatch(), Mailbox(world.folder / "permit"), 0.0
        world.start(
            "hardware.ros.supervisor_node",
            permit_sockets=f"[{world.folder / 'permit'}]",
            supervisor_socket=world.folder / "sup",
            state_folder=world.folder / "state",
            use_sim_time=True,
        )
        partner.until(lambda: partner.stop().startswith("clock: use_sim_time"))
        partner.box.close()
        partner.close()
