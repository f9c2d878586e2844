"""How soon the simulated robot rests after each fault of each process, and what a flood of commands does."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

from geometry_msgs.msg import TwistStamped
from rclpy.qos import QoSProfile

from nerfbot.bench.figures import Baseline, Figure
from nerfbot.bench.ros_rig import DECELERATION, LIMITS, PERIOD, SPEED, TIMER_RATE, Rig

PERMIT = 0.2
BOUND = 2.0 * PERIOD + PERMIT + SPEED / DECELERATION
"""s: two control periods, the permit's time, and the controlled stop itself."""

PROCESSES = {"policy": "sender", "nerf": "nerf", "supervisor": "supervisor", "gate": "gate"}
"""What is hit, and what it is called here."""

FAULTS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "hang": signal.SIGUSR1}


def chain(rig: Rig) -> None:
    """Start the simulated robot and the whole chain before it."""
    sockets = {name: rig.folder / name for name in ("permit.gate", "permit.nerf", "supervisor")}
    common = {"supervisor_socket": sockets["supervisor"]}
    links = {**common, "use_odometry": False, "timer_rate": TIMER_RATE, **LIMITS}
    rig.start(
        "plant",
        "nerfbot.bridge.ros.plant_node",
        {"course": "corner", "publish_clock": False, "cmd_vel_timeout": 0.2},
    )
    rig.start(
        "supervisor",
        "nerfbot.hardware.ros.supervisor_node",
        {
            **common,
            "permit_sockets": f"[{sockets['permit.gate']}, {sockets['permit.nerf']}]",
            "state_folder": rig.folder / "state",
            "permit_valid": PERMIT,
        },
    )
    rig.start("gate", "nerfbot.hardware.ros.gate_node", {**links, "permit_socket": sockets["permit.gate"]})
    rig.start(
        "nerf",
        "nerfbot.hardware.ros.nerf_node",
        {**links, "permit_socket": sockets["permit.nerf"], "nerf": "none"},
    )
    rig.function("sender")


def stops(rig: Rig, report: Callable[[str], None], trials: int) -> Iterator[Figure]:
    """How long after each fault of each process the simulated robot rests; the longest of the trials.

    A chain that does not drive again after a trial is started anew, and that is told too.
    """
    chain(rig)
    restarts = 0
    for title, name in PROCESSES.items():
        for fault, number in FAULTS.items():
            took: list[float] = []
            held_up: list[float] = []
            rig.longest_silence = 0.0
            for trial in range(trials):
                report(f"{title}, {fault}, trial {trial + 1} of {trials}")
                if not rig.until(lambda: _drives(rig)):
                    restarts += 1
                    rig.renew()
                    if not rig.until(lambda: _drives(rig)):
                        why = rig.last_line("gate")
                        raise RuntimeError(
                            f"bench ros: the robot does not drive before {title}, {fault}: {why}"
                        )
                rig.spin(random.uniform(0.0, 0.1))
                began = time.monotonic()
                os.kill(rig.running[name].pid, number)
                rested = rig.until(lambda began=began: rig.speed_at > began and rig.speed < 0.02, 5.0)  # type: ignore[misc]
                took.append(rig.speed_at - began if rested else float("inf"))
                held_up.append(rig.held_up(began, time.monotonic()))
                _restore(rig, name, fault)
            against = Baseline("bound, ms", 1e3 * BOUND)
            yield Figure(f"stop_max_ms.{title}.{fault}", 1e3 * max(took), "ms", "lower", against)
            late = sum(time > BOUND for time in took)
            yield Figure(f"stops_late.{title}.{fault}", float(late), f"of {trials}", "lower")
            # A robot that is itself held up by a busy machine is seen to rest no sooner than that
            silence = Baseline("odometry's period, ms", 1e3 * PERIOD)
            name_of = f"odometry_silence_max_ms.{title}.{fault}"
            yield Figure(name_of, 1e3 * rig.longest_silence, "ms", "lower", silence)
            yield Figure(f"bare_timer_held_up_max_ms.{title}.{fault}", 1e3 * max(held_up), "ms", "lower")
    yield Figure("chain_restarts", float(restarts), "", "lower")


def _drives(rig: Rig) -> bool:
    """Whether the robot has come up to speed."""
    return rig.speed > 0.95 * SPEED


def _restore(rig: Rig, name: str, fault: str) -> None:
    if fault == "stop":
        os.kill(rig.running[name].pid, signal.SIGCONT)
        return
    rig.kill(name)
    rig.again(name)


def flood(rig: Rig, report: Callable[[str], None], seconds: float = 5.0) -> Iterator[Figure]:
    """Two senders at full rate on the command topic: their rate, and by how much the gate's output is late.

    That is the longest silence beyond a period: as it sends, by its stamps, and as it is heard here. The
    network's part of a machine that is busy is in the second only.

    Before the flood the gate follows a sender at its timer's rate; in it, it sends the steps of a stop (more
    than one sender), at that rate too.
    """
    report("a flood on the command topic")
    rig.kill("sender")
    rig.function("quick_sender")
    rig.until(lambda: _drives(rig))
    sent: list[float] = []
    heard: list[float] = []

    def hear(message: TwistStamped) -> None:
        stamp = message.header.stamp
        sent.append(stamp.sec + 1e-9 * stamp.nanosec)
        heard.append(time.monotonic())

    listener = rig.node.create_subscription(TwistStamped, "cmd_vel", hear, QoSProfile(depth=100))
    flooders = [rig.function("flooder", number) for number in (1, 2)]
    rig.until(lambda: all(map(rig.said, flooders)))
    sent.clear()
    heard.clear()
    began = time.monotonic()
    rig.spin(seconds)
    held_up = rig.held_up(began, time.monotonic())
    rate = 0
    for name in flooders:
        rig.kill(name)
        rate += max(map(int, rig.said(name)))
    rig.node.destroy_subscription(listener)
    yield Figure("flood_messages_per_s", float(rate), "messages/s", "higher")
    against = Baseline("two periods of its timer, ms", 2e3 / TIMER_RATE)
    for name, times in (("flood_delay_max_ms", sent), ("flood_delay_heard_max_ms", heard)):
        longest = max((after - before for before, after in pairwise(times)), default=float("inf"))
        yield Figure(name, 1e3 * (longest - 1.0 / TIMER_RATE), "ms", "lower", against)
    yield Figure("flood_bare_timer_held_up_max_ms", 1e3 * held_up, "ms", "lower")
