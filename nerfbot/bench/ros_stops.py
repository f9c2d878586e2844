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
"""Longest time to rest, s: two control periods, the permit's validity, and the controlled stop itself."""

PROCESSES = {"policy": "sender", "nerf": "nerf", "supervisor": "supervisor", "gate": "gate"}
"""The process of the rig that gets the faults, by the name in the figures."""

FAULTS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "hang": signal.SIGUSR1, "end": signal.SIGTERM}


def start_chain(rig: Rig) -> None:
    """Start the simulated robot and the whole chain before it."""
    gate, nerf, supervisor = (rig.folder / name for name in ("permit.gate", "permit.nerf", "supervisor"))
    common = {"supervisor_socket": supervisor}
    filters = {**common, "use_odometry": False, "timer_rate": TIMER_RATE, **LIMITS}
    plant = {"course": "corner", "publish_clock": False, "cmd_vel_timeout": 0.2}
    supervision = {"permit_sockets": f"[{gate}, {nerf}]", "state_folder": rig.folder / "state"}
    supervision |= {"gate_socket": gate, **LIMITS}
    rig.start("plant", plant)
    rig.start("supervisor", {**common, **supervision, "permit_valid": PERMIT})
    rig.start("gate", {**filters, "permit_socket": gate})
    rig.start("nerf", {**filters, "permit_socket": nerf, "nerf": "none"})
    rig.start_function("sender")


def stops(rig: Rig, report: Callable[[str], None], trials: int) -> Iterator[Figure]:
    """The longest time to rest after each fault of each process.

    A chain that does not drive again after a trial is restarted; the restarts are counted too.
    """
    start_chain(rig)
    restarts = 0
    for title, name in PROCESSES.items():
        for fault, number in FAULTS.items():
            durations: list[float] = []
            held_up: list[float] = []
            rig.longest_silence = 0.0
            for trial in range(trials):
                report(f"{title}, {fault}, trial {trial + 1} of {trials}")
                if not rig.until(lambda: _drives(rig)):
                    restarts += 1
                    rig.restart_all()
                    if not rig.until(lambda: _drives(rig)):
                        why = (rig.output("gate").splitlines() or ["nothing"])[-1]
                        raise RuntimeError(
                            f"bench ros: the robot does not drive before {title}, {fault}: {why}"
                        )
                rig.spin(random.uniform(0.0, 0.1))
                began = time.monotonic()
                os.kill(rig.running[name].pid, number)
                rested = rig.until(lambda began=began: rig.speed_at > began and rig.speed < 0.02, 5.0)  # type: ignore[misc]
                durations.append(rig.speed_at - began if rested else float("inf"))
                held_up.append(rig.held_up(began, time.monotonic()))
                _restore(rig, name, fault)
            key = f"{title}.{fault}"
            bound = Baseline("bound, ms", 1e3 * BOUND)
            yield Figure(f"stop_max_ms.{key}", 1e3 * max(durations), "ms", "lower", bound)
            late = sum(duration > BOUND for duration in durations)
            yield Figure(f"stops_late.{key}", float(late), f"of {trials}", "lower")
            # The odometry of a robot that is itself held up by a busy machine shows rest no sooner than this
            period = Baseline("odometry's period, ms", 1e3 * PERIOD)
            silence = 1e3 * rig.longest_silence
            yield Figure(f"odometry_silence_max_ms.{key}", silence, "ms", "lower", period)
            yield Figure(f"bare_timer_held_up_max_ms.{key}", 1e3 * max(held_up), "ms", "lower")
    yield Figure("chain_restarts", float(restarts), "", "lower")


def _drives(rig: Rig) -> bool:
    """Whether the robot has reached its speed."""
    return rig.speed > 0.95 * SPEED


def _restore(rig: Rig, name: str, fault: str) -> None:
    if fault == "stop":
        os.kill(rig.running[name].pid, signal.SIGCONT)
        return
    rig.kill(name)
    rig.restart(name)


def flood(rig: Rig, report: Callable[[str], None], seconds: float = 5.0) -> Iterator[Figure]:
    """Two senders at full rate on the command topic: their rate, and the delay of the gate's output.

    The delay is the longest silence beyond a period, by the output's stamps and by its receipt here; only the
    latter includes the network of a busy machine. Before the flood the gate follows a sender at its timer's
    rate; in the flood it sends the steps of a stop (two publishers), at that rate too.
    """
    report("a flood on the command topic")
    rig.kill("sender")
    rig.start_function("quick_sender")
    rig.until(lambda: _drives(rig))
    sent: list[float] = []
    received: list[float] = []

    def take(message: TwistStamped) -> None:
        stamp = message.header.stamp
        sent.append(stamp.sec + 1e-9 * stamp.nanosec)
        received.append(time.monotonic())

    listener = rig.node.create_subscription(TwistStamped, "cmd_vel", take, QoSProfile(depth=100))
    flooders = ("flooder", "flooder2")
    for name in flooders:
        rig.start_function("flooder", name)
    rig.until(lambda: all(map(rig.output, flooders)))
    sent.clear()
    received.clear()
    began = time.monotonic()
    rig.spin(seconds)
    held_up = rig.held_up(began, time.monotonic())
    rate = 0
    for name in flooders:
        rig.kill(name)
        rate += max(map(int, rig.output(name).split()))
    rig.node.destroy_subscription(listener)
    yield Figure("flood_messages_per_s", float(rate), "messages/s", "higher")
    periods = Baseline("two periods of its timer, ms", 2e3 / TIMER_RATE)
    for name, times in (("flood_delay_max_ms", sent), ("flood_delay_heard_max_ms", received)):
        longest = max((after - before for before, after in pairwise(times)), default=float("inf"))
        yield Figure(name, 1e3 * (longest - 1.0 / TIMER_RATE), "ms", "lower", periods)
    yield Figure("flood_bare_timer_held_up_max_ms", 1e3 * held_up, "ms", "lower")
