"""A gate that dies: the supervisor brakes the robot in its place, for a while, and never beside a gate."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from rclpy.qos import QoSProfile

from nerfbot.hardware.safety.writer_lock import WriterLock
from tests.hardware.ros_world import TWIST_LIMITS, Partner, World, a_world, partnered

pytestmark = pytest.mark.realtime

SPEED = 0.4


class Supervised(Partner):
    """A supervisor and its gate, driven at `SPEED`; every message with who sent it."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "cmd_vel_nerfed", "nothing")
        self.heard: list[tuple[float, float, bytes]] = []
        kind = type(self.message(0.0))
        self.node.create_subscription(kind, "cmd_vel", self._hear, QoSProfile(depth=100))
        self.socket = world.folder / "permit.gate"
        self.supervisor = world.start(
            "hardware.ros.supervisor_node",
            permit_sockets=f"[{self.socket}]",
            gate_socket=self.socket,
            supervisor_socket=world.folder / "supervisor",
            state_folder=world.folder / "state",
            use_odometry=False,
            **TWIST_LIMITS,
        )
        self.until((world.folder / "supervisor").exists)
        self.start_gate()

    def start_gate(self) -> None:
        self.gate = self.world.start(
            "hardware.ros.gate_node", permit_socket=self.socket, use_odometry=False, **TWIST_LIMITS
        )

    def _hear(self, message: Any, info: dict[str, Any]) -> None:
        self.heard.append((time.monotonic(), message.twist.linear.x, bytes(info["publisher_gid"]["data"])))

    def each(self) -> None:
        self.send(SPEED)

    def moving(self) -> bytes:
        """Drive; who sends the commands."""
        self.until(lambda: bool(self.heard) and self.heard[-1][1] == SPEED, self.each)
        del self.heard[:-1]
        return self.heard[0][2]


@pytest.fixture
def chain() -> Iterator[Supervised]:
    yield from partnered(Supervised)


def test_a_killed_gate_is_replaced_until_the_robot_has_been_at_rest_for_a_while(chain: Supervised) -> None:
    gate = chain.moving()
    chain.gate.kill()
    killed = time.monotonic()
    chain.until(lambda: chain.heard[-1][1] == 0.0, chain.each)
    chain.until(lambda: time.monotonic() - chain.heard[-1][0] > 1.0, chain.each)  # ... and then it is silent
    replaced = [(at, speed) for at, speed, sender in chain.heard if sender != gate]
    for (before_at, before), (at, after) in pairwise([(killed, SPEED), *replaced]):
        assert before - after <= 2.0 * (at - before_at + 0.05)  # a beat of the supervisor
    assert all(speed == 0.0 for _, speed in replaced[-20:])
    assert 1.0 < replaced[-1][0] - killed < 5.0
    assert "gate-died" in (chain.world.folder / "state" / "audit.jsonl").read_text()


def test_a_new_gate_waits_for_it_and_is_never_one_of_two(chain: Supervised) -> None:
    before = chain.moving()
    chain.gate.kill()
    chain.gate.wait()
    chain.start_gate()
    chain.until(lambda: len({sender for _, _, sender in chain.heard}) == 3, chain.each)
    senders = [sender for _, _, sender in chain.heard if sender != before]
    chain.drive(0.5, SPEED)
    assert all(sender == senders[-1] for _, _, sender in chain.heard[-5:])
    assert len([1 for a, b in pairwise(senders) if a != b]) == 1


@pytest.mark.parametrize("fault", ["ends", "stands still"])
def test_a_gate_that_ends_by_itself_or_stands_still_is_not_replaced(chain: Supervised, fault: str) -> None:
    gate = chain.moving()
    chain.gate.send_signal(signal.SIGTERM if fault == "ends" else signal.SIGSTOP)
    chain.drive(1.5, SPEED)
    assert {sender for _, _, sender in chain.heard} == {gate}


def test_the_supervisor_ends_only_once_the_robot_was_braked(chain: Supervised) -> None:
    gate = chain.moving()
    chain.gate.kill()
    chain.gate.wait()
    chain.supervisor.send_signal(signal.SIGINT)
    chain.until(lambda: chain.supervisor.poll() is not None, chain.each)
    assert chain.heard[-1][2] != gate
    assert chain.heard[-1][1] == 0.0


def test_one_process_holds_the_lock_of_a_socket_and_a_gate_refuses_to_be_the_second() -> None:
    with a_world() as world:
        lock = WriterLock(world.folder / "p")
        assert lock.take()
        other = WriterLock(world.folder / "p")
        assert not other.take(0.05)
        process = world.start("hardware.ros.gate_node", permit_socket=world.folder / "p", **TWIST_LIMITS)
        assert "writes to the robot" in world.refusal(process)
        lock.close()
        assert other.take()


def test_a_supervisor_that_is_to_replace_the_gate_needs_the_envelope() -> None:
    with a_world() as world:
        process = world.start(
            "hardware.ros.supervisor_node",
            gate_socket=world.folder / "p",
            supervisor_socket=world.folder / "s",
            state_folder=world.folder / "state",
        )
        assert "linear.x" in world.refusal(process)
