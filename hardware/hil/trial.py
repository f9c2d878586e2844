"""One trial: bring the arm into a situation, let the fault happen, ask for motion all the while, judge."""

from __future__ import annotations

import math
import random
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nerfbot.limits import NerfSpec

from .. import priority
from ..driver.service import PRIORITY, SHUTDOWN_TIME
from ..emulator.process import EmulatedBus, RunningBus, TappedBus, settle
from ..errors import BusError
from ..robot import ServoRobot
from .faults import Fault
from .oracle import Judgement, Oracle
from .rig import Rig

WATCHED = ("shoulder_pan", "wrist_roll")
"""Joints that no gravity pulls: their goals show a stop to the count. All joints are held to the envelope."""

FAST = 0.8  # of the velocity limit: full speed has been reached
LATE = 18
"""A stop is missed when more bus cycles than these pull after its cause or its time-out: three, and 0.15 s
for messages on their way. Cycles of the log, not seconds: on a machine that stands still the bus does too.
"""

PATIENCE = 2.0
"""How much longer than a fault's own time a trial waits for a driver, or servos, that had no processor, s."""

BEFORE_ALL = ("--priority", "40")
"""The emulator stands for servos, which wait for no processor."""

REST_SPEED = 0.08
LIFT = {"speed": 1.0, "strength": 1.0}
LIFT_RAMP = 0.15  # s; shorter than a robot's own, so that more trials fit into the time
NEAR, BACK = 0.35, 0.7  # rad from the end of the range: where the fault happens, where the approach begins


@dataclass
class Result:
    """What came of a trial. ``latency`` (s) from the cause, or from the end of its time-out; None where there
    was nothing to stop.
    """

    fault: str
    kind: str
    situation: str
    seed: int
    expect: str
    seen: bool
    violations: list[str]
    missed: str
    latency: float | None
    cycles: int
    guards: list[str]
    timer: float
    seconds: float

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


class Trial:
    """A rig on which one trial after the other is made: on emulated servos, or on those at ``port``.

    ``name``: the robot's, or its file.
    """

    def __init__(
        self, name: str, spec: NerfSpec, folder: Path, seed: int, margin: float, port: str = ""
    ) -> None:
        robot = ServoRobot.load(name).model_copy(update={"lift_ramp_s": LIFT_RAMP})
        self.emulated: RunningBus = (
            TappedBus(port, name, folder, seed, BEFORE_ALL)
            if port
            else EmulatedBus(name, folder=folder, seed=seed, options=BEFORE_ALL)
        )
        self.robot, self.is_real = robot, bool(port)
        self.rig = Rig(robot, spec, folder, self.emulated, margin=margin)
        self.oracle = Oracle(robot)
        self.random = random.Random(seed)
        self.far: list[float] = []
        self.goal: list[float] = []
        self.servo = 1
        self.burst = False
        self.back = 0
        self.problem = ""
        self._watched = [joint for joint in robot.joints if joint.name in WATCHED]

    def close(self) -> None:
        """End every process."""
        self.rig.close()
        self.emulated.close()

    # Getting ready

    def ready(self) -> None:
        """Everything healthy and following commands; starts anew whatever does not recover."""
        rig = self.rig
        if rig.policy is not None:
            rig.policy.kill()
            rig.policy = None
        self.emulated.do("clear")
        if rig.supervisor is not None:
            rig.supervisor.signal(signal.SIGCONT)
        if rig.supervisor is None or not rig.supervisor.alive:
            rig.start_supervisor()
        rig.tell()
        if rig.driver_alive and rig.settle_running(0.8):
            return
        if rig.driver is not None:
            if self.is_real:  # the arm is let down, not dropped
                rig.driver.terminate(SHUTDOWN_TIME + self.robot.release_s + 1.0)
            rig.driver.kill()
        self.emulated.do(
            "reset", angles=[joint.home * joint.servo.radians_per_count for joint in self.robot.joints]
        )
        self.emulated.do("eeprom", values={})
        for last in (False, False, True):
            try:
                rig.start_driver()
                break
            except BusError:  # a servo seemed silent, or answered twice: the machine is busy
                if last:
                    raise
        if not rig.settle_running(10.0):
            raise RuntimeError(f"the rig does not start: {rig.state}")

    def situate(self, situation: str) -> None:
        """Bring the arm into ``situation``; afterwards ``goal`` is what the policy asks for."""
        rig = self.rig
        here = list(rig.look(0.02)["position"])
        self.far = self._far(here)
        self.goal = self.far
        if situation == "rest":
            rig.tell()
            rig.follow(here, 0.04, lambda state: False)
            return
        lifted = situation != "full speed" or self.random.random() < 0.5
        rig.tell(levels=LIFT if lifted else {})
        if situation == "near a limit":
            self._approach(here)
            return
        if situation == "during a lift":
            rig.follow(self.goal, 0.05 + 0.3 * self.random.random(), lambda state: False)
            return
        top = self.robot.limits(self._watched[0].name).max_velocity or 1.0
        index = self.robot.names.index(self._watched[0].name)
        wanted = FAST * (top if lifted else 0.33 * top)
        rig.follow(self.goal, 0.7, lambda state: abs(state["velocity"][index]) >= wanted)

    def _far(self, here: list[float]) -> list[float]:
        """A goal far off for the watched joints, where there is room; a little for the others."""
        goal = []
        for joint, position in zip(self.robot.joints, here, strict=True):
            limits = self.robot.limits(joint.name)
            low, high = limits.min_position or 0.0, limits.max_position or 0.0
            middle = 0.5 * (low + high)
            if joint in self._watched:
                goal.append(high if position < middle else low)
            else:
                span = 0.25 if joint.name != "gripper" else 0.6
                goal.append(middle + self.random.uniform(-span, span))
        return goal

    def _approach(self, here: list[float]) -> None:
        """Move towards the nearer end of the watched joints' ranges, until braking for it has to begin."""
        start, goal = list(here), list(here)
        for index, joint in enumerate(self.robot.joints):
            if joint not in self._watched:
                continue
            limits = self.robot.limits(joint.name)
            ends = (limits.min_position or 0.0, limits.max_position or 0.0)
            goal[index] = min(ends, key=lambda end: abs(end - here[index]))
            away = BACK if goal[index] == ends[0] else -BACK
            start[index] = min(max(goal[index] + away, ends[0]), ends[1])
        index = self.robot.names.index(self._watched[0].name)
        if abs(here[index] - goal[index]) < 0.7 * BACK:
            self.rig.follow(start, 0.8, lambda s: abs(s["position"][index] - start[index]) < 0.15)
        self.rig.follow(goal, 1.6, lambda s: abs(s["position"][index] - goal[index]) < NEAR)
        self.goal = goal

    # The trial

    def run(self, fault: Fault, situation: str, seed: int) -> Result:
        """Make one trial."""
        began = time.monotonic()
        self.random = random.Random(seed)
        self.burst, self.back, self.problem = False, 0, ""
        self.ready()
        self.situate(situation)
        joints = self.robot.joints
        self.servo = self.random.choice([j.id for j in (self._watched[:1] if fault.moving else joints)])
        state = self.rig.look()
        ways = {
            joint.id: joint.direction * (1 if self.goal[i] >= state["position"][i] else -1)
            for i, joint in enumerate(joints)
        }
        watched = [j.id for j in self._watched if not (fault.target and j.id == self.servo)]
        timer = self._timer()
        self.rig.command(self.goal)
        before = self.emulated.entries()[-100:]
        cause = fault.inject(self)
        guards = self._pursue(fault, cause)
        until = time.monotonic()
        lines = self.emulated.entries()
        blind = {self.servo} if fault.target else set()
        found = self.oracle.judge(
            lines, cause, watched, ways, blind, fault.pushed, before, until, fault.allowance
        )
        missed, latency = self._stop(fault, cause + fault.allowance, found)
        violations = [*found.violations, *([self.problem] if self.problem else [])]
        if fault.restart and self.rig.driver is not None:
            self.rig.driver.kill()
        return Result(
            fault.name, fault.kind, situation, seed, fault.expect, fault.seen, violations[:5], missed,
            latency, found.cycles, guards, timer, time.monotonic() - began,
        )  # fmt: skip

    def _timer(self) -> float:
        """How late a bare timer with the driver's own priority is on this machine, s."""
        period = self.robot.period / 4
        refused = priority.request(PRIORITY)
        start = time.monotonic()
        time.sleep(period)
        late = time.monotonic() - start - period
        if not refused:
            priority.release()
        return late

    def _pursue(self, fault: Fault, cause: float) -> list[str]:
        """Ask for motion until the trial's time is over; returns the guards that spoke first.

        Where a stop is expected, the driver must have had some cycles to stop in, and no other reason to stop
        that kept it from seeing this one.
        """
        period = self.robot.period
        guards: list[str] = []
        until = time.monotonic() + fault.seconds
        settled = 10 * period if fault.expect == "stop" else -math.inf
        ran = cause + fault.allowance
        while (now := time.monotonic()) < until + PATIENCE:
            state = self.rig.state
            ran = state["now"] if state["phase"] == "run" else ran
            if now >= until and state["now"] - ran >= settled:
                break
            if fault.send is not None:
                fault.send(self)
            else:
                self.rig.command(self.goal)
            time.sleep(period)
            state = self.rig.look()
            if not guards and state and state["now"] >= cause and state["guards"]:
                guards = list(state["guards"])
        return guards

    def _stop(self, fault: Fault, due: float, found: Judgement) -> tuple[str, float | None]:
        if fault.expect == "ride":
            return "", None
        if fault.expect == "rest":
            settle(lambda: not self._moving(), PATIENCE)
            return self._moving(), None
        if not found.pulled:
            return "", None
        if found.stopped is None:
            return "goals still pull at the end", None
        late = f"stopped only after {found.cycles} cycles" if found.cycles > LATE else ""
        return late, max(0.0, found.stopped - due)

    def _moving(self) -> str:
        """The first servo that moves with its torque on; "" where none does."""
        for id, servo in self.emulated.state().items():
            if abs(servo["velocity"]) > REST_SPEED and servo["values"]["torque_enable"] == 1:
                return f"servo {id} still moves at {servo['velocity']:.2f} rad/s"
        return ""
