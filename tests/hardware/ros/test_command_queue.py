"""Commands that come faster than they are taken: none is lost that the queue holds, none overloads a node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy", reason="the ROS 2 wheels are not installed")

import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor

from nerfbot.hardware.ros.base_node import COMMAND_QOS, NEWEST_QOS
from nerfbot.hardware.ros.callback_budget import CallbackBudget, take_newest
from tests.hardware.ros_world import TWIST_LIMITS, Partner, World, a_world, fresh_domain, partnered

pytestmark = pytest.mark.realtime

PATIENT = {"cmd_vel_timeout": 2.0}  # a node that was held up for less takes what waits


class Held(Partner):
    """A nerf that can be held up; numbered commands go in."""

    def __init__(self, world: World, **more: float) -> None:
        super().__init__(world, "cmd_vel_policy", "cmd_vel_nerfed", "permit.nerf")
        self.node.destroy_publisher(self.publisher)
        self.publisher = self.node.create_publisher(TwistStamped, "cmd_vel_policy", COMMAND_QOS)
        self.process = world.start(
            "hardware.ros.nerf_node",
            permit_socket=world.folder / "permit.nerf",
            nerf="rover-slow",
            use_odometry=False,
            **more,
            **TWIST_LIMITS,
        )
        self.until(lambda: "command: none yet" in self.reasons("nerf"), self.permit)
        self.number = 0
        self.until(lambda: bool(self.numbers), self.numbered)

    def numbered(self) -> None:
        self.permit()
        message = self.message(0.1)
        self.number += 1
        message.header.frame_id = str(self.number)
        self.publisher.publish(message)

    @property
    def numbers(self) -> list[int]:
        return [int(message.header.frame_id) for _, message in self.received if message.header.frame_id]

    def while_held(self, count: int) -> list[int]:
        """Send `count` commands while the nerf stands still; their numbers."""
        self.spin(0.3)
        self.received.clear()
        self.process.send_signal(signal.SIGSTOP)
        first = self.number + 1
        for _ in range(count):
            self.numbered()
            self.spin(0.002)  # all of it in less than `stamp_jump`
        self.process.send_signal(signal.SIGCONT)
        return list(range(first, self.number + 1))


@pytest.fixture(scope="module")
def nerf() -> Iterator[Held]:
    yield from partnered(lambda world: Held(world, **PATIENT))


def test_a_short_hold_up_loses_no_command_and_keeps_their_order(nerf: Held) -> None:
    sent = nerf.while_held(COMMAND_QOS.depth)
    nerf.until(lambda: len(nerf.numbers) >= len(sent), nerf.permit)
    assert nerf.numbers == sent


def test_of_more_than_the_queue_holds_the_newest_arrive_and_the_others_are_counted(nerf: Held) -> None:
    before = int(nerf.values("nerf")["dropped"])
    sent = nerf.while_held(4 * COMMAND_QOS.depth)
    nerf.until(lambda: nerf.numbers[-1:] == sent[-1:], nerf.permit)
    came = nerf.numbers
    assert came == sorted(came)
    assert came[-COMMAND_QOS.depth :] == sent[-COMMAND_QOS.depth :]
    nerf.until(lambda: int(nerf.values("nerf")["dropped"]) - before == len(sent) - len(came), nerf.permit)


def test_after_a_longer_hold_up_the_queue_is_discarded() -> None:
    """The timer is slow: a node that left the rest of the queue for its next budget would take it as new."""
    with a_world() as world:
        nerf = Held(world, timer_rate=20.0)
        nerf.spin(0.3)
        nerf.received.clear()
        nerf.process.send_signal(signal.SIGSTOP)
        first = nerf.number + 1
        for _ in range(COMMAND_QOS.depth):
            nerf.numbered()
            nerf.spin(0.015)  # 0.3 s in all, and `cmd_vel_timeout` is 0.1 s
        last = nerf.number
        nerf.process.send_signal(signal.SIGCONT)
        nerf.spin(0.2)
        nerf.until(lambda: bool(nerf.numbers) and nerf.numbers[-1] > last, nerf.numbered)
        assert not set(nerf.numbers) & set(range(first, last + 1))
        nerf.close()


@pytest.fixture
def pair() -> Iterator[tuple]:
    """A node with an executor and a publisher on the topic `x`, in a domain of its own."""
    context = Context()
    rclpy.init(context=context, domain_id=fresh_domain())
    node = rclpy.create_node("pair", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    out = node.create_publisher(TwistStamped, "x", COMMAND_QOS)
    yield node, executor, out
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)


def send(out: object, count: int) -> None:
    for _ in range(count):
        out.publish(TwistStamped())  # type: ignore[attr-defined]


def test_a_budget_that_is_used_up_calls_nothing_until_it_is_renewed(pair: tuple) -> None:
    node, executor, out = pair
    budget, taken = CallbackBudget(3), []
    node.create_subscription(TwistStamped, "x", taken.append, COMMAND_QOS, callback_group=budget)
    while out.get_subscription_count() == 0:
        executor.spin_once(timeout_sec=0.05)
    send(out, 10)
    for _ in range(20):
        executor.spin_once(timeout_sec=0.02)
    assert len(taken) == 3
    budget.renew()
    for _ in range(20):
        executor.spin_once(timeout_sec=0.02)
    assert len(taken) == 6


def test_the_newest_message_is_read_without_the_executor(pair: tuple) -> None:
    node, executor, out = pair
    taken: list[TwistStamped] = []
    subscription = node.create_subscription(
        TwistStamped, "x", taken.append, NEWEST_QOS, callback_group=CallbackBudget(0)
    )
    while out.get_subscription_count() == 0:
        executor.spin_once(timeout_sec=0.05)
    assert take_newest(subscription) is None
    for number in range(5):
        message = TwistStamped()
        message.twist.linear.x = float(number)
        out.publish(message)
    for _ in range(10):
        executor.spin_once(timeout_sec=0.02)
    assert take_newest(subscription).twist.linear.x == 4.0
    assert take_newest(subscription) is None
    assert not taken


def test_real_time_priority_reaches_every_thread_or_a_reason_is_given() -> None:
    code = (
        "import os, threading, time; from nerfbot.hardware import priority\n"
        "threading.Thread(target=time.sleep, args=(5,), daemon=True).start()\n"
        "refused = priority.request(1)\n"
        "print(refused, {os.sched_getscheduler(int(t)) for t in os.listdir('/proc/self/task')})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    output = done.stdout.strip()
    assert output in (f"{{{os.SCHED_RR}}}", f"Operation not permitted {{{os.SCHED_OTHER}}}")


def test_a_priority_that_is_none_is_refused() -> None:
    with a_world() as world:
        process = world.start(
            "hardware.ros.gate_node", permit_socket=world.folder / "p", priority=100, **TWIST_LIMITS
        )
        assert "priority = 100: must be at least 0 and at most 99" in world.refusal(process)
