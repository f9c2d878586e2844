"""One trial: bring the arm into a situation, inject the fault, keep commanding motion, evaluate the log."""

from __future__ import annotations

import math
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from nerfbot.limits import NerfSpec

from .. import priority
from ..driver.service import PRIORITY, SHUTDOWN_TIME
from ..emulator.process import BusProcess, EmulatedBus, TappedBus, wait_until
from ..errors import BusError
from ..robot import ServoRobot
from .fault import Fault, FaultContext
from .oracle import Oracle, Verdict
from .rig import Rig

WATCHED = ("shoulder_pan", "wrist_roll")
"""Joints that gravity does not pull: their goals show a stop to the count. The envelope holds for all."""

FULL_SPEED = 0.8  # of the velocity limit
MAX_STOP_CYCLES = 18
"""More bus cycles than these that pull after the cause, or its time-out, are a missed stop: three, and 0.15 s
for messages on their way. It counts cycles of the log, not seconds: on a machine that halts, so does the bus.
"""

PATIENCE = 2.0
"""How much longer than a fault's own time a trial waits for a driver, or servos, that had no processor, s."""

BUS_OPTIONS = ("--priority", "40")
"""The emulator stands for servos, which wait for no processor."""

REST_SPEED = 0.08  # rad/s
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


class TrialRunner:
    """Runs trials on one rig: emulated servos, or those at ``port``. ``name``: a robot's, or its file."""

    def __init__(
        self, name: str, spec: NerfSpec, folder: Path, seed: int, margin: float, port: str = ""
    ) -> None:
        robot = ServoRobot.load(name).model_copy(update={"lift_ramp_s": LIFT_RAMP})
        self.bus: BusProcess = (
            TappedBus(port, name, folder, seed, BUS_OPTIONS)
            if port
            else EmulatedBus(name, folder=folder, seed=seed, options=BUS_OPTIONS)
        )
        self.robot, self.is_real = robot, bool(port)
        self.rig = Rig(robot, spec, folder, self.bus, margin=margin)
        self.oracle = Oracle(robot)
        self._watched = [joint for joint in robot.joints if joint.name in WATCHED]
        self._index = robot.names.index(self._watched[0].name)

    def close(self) -> None:
        """End every process."""
        self.rig.close()
        self.bus.close()

    # Preparing

    def prepare(self) -> None:
        """Make everything healthy and the driver follow commands; restarts whatever does not recover."""
        rig = self.rig
        if rig.policy is not None:
            rig.policy.kill()
            rig.policy = None
        self.bus.do("clear")
        if rig.supervisor is not None:
            rig.supervisor.signal(signal.SIGCONT)
        if rig.supervisor is None or not rig.supervisor.alive:
            rig.start_supervisor()
        rig.set_permit()
        if rig.driver_alive and rig.wait_until_running(0.8):
            return
        if rig.driver is not None:
            if self.is_real:  # let the arm down rather than drop it
                rig.driver.terminate(SHUTDOWN_TIME + self.robot.release_s + 1.0)
            rig.driver.kill()
        angles = [joint.home * joint.servo.radians_per_count for joint in self.robot.joints]
        self.bus.do("reset", angles=angles)
        self.bus.do("eeprom", values={})
        for is_last in (False, False, True):
            try:
                rig.start_driver()
                break
            except BusError:  # on a busy machine a servo can seem silent, or answer twice
                if is_last:
                    raise
        if not rig.wait_until_running(10.0):
            raise RuntimeError(f"the rig does not start: {rig.state}")

    def bring_into(self, situation: str, context: FaultContext) -> None:
        """Bring the arm into ``situation``; afterwards ``context.goal`` is what the policy commands."""
        rig, rng = self.rig, context.rng
        here = list(rig.update(0.02)["position"])
        context.goal = context.far_goal = self._far_goal(here, rng)
        if situation == "rest":
            rig.set_permit()
            rig.follow(here, 0.04, lambda state: False)
            return
        lifted = situation != "full speed" or rng.random() < 0.5
        rig.set_permit(levels=LIFT if lifted else {})
        if situation == "near a limit":
            context.goal = self._approach_limit(here)
            return
        if situation == "during a lift":
            rig.follow(context.goal, 0.05 + 0.3 * rng.random(), lambda state: False)
            return
        limit = self.robot.limits(self._watched[0].name).max_velocity or 1.0
        speed = FULL_SPEED * (limit if lifted else 0.33 * limit)
        rig.follow(context.goal, 0.7, lambda state: abs(state["velocity"][self._index]) >= speed)

    def _far_goal(self, here: list[float], rng: random.Random) -> list[float]:
        """A goal far away for the watched joints, where there is room; near the middle for the others."""
        goal = []
        for joint, position in zip(self.robot.joints, here, strict=True):
            limits = self.robot.limits(joint.name)
            low, high = limits.min_position or 0.0, limits.max_position or 0.0
            middle = 0.5 * (low + high)
            if joint in self._watched:
                goal.append(high if position < middle else low)
            else:
                span = 0.25 if joint.name != "gripper" else 0.6
                goal.append(middle + rng.uniform(-span, span))
        return goal

    def _approach_limit(self, here: list[float]) -> list[float]:
        """Move towards the nearer end of the watched joints' ranges, until braking must begin; the goal."""
        start, goal, index = list(here), list(here), self._index
        for k, joint in enumerate(self.robot.joints):
            if joint not in self._watched:
                continue
            limits = self.robot.limits(joint.name)
            ends = (limits.min_position or 0.0, limits.max_position or 0.0)
            goal[k] = min(ends, key=lambda end: abs(end - here[k]))
            away = BACK if goal[k] == ends[0] else -BACK
            start[k] = min(max(goal[k] + away, ends[0]), ends[1])
        if abs(here[index] - goal[index]) < 0.7 * BACK:
            self.rig.follow(start, 0.8, lambda s: abs(s["position"][index] - start[index]) < 0.15)
        self.rig.follow(goal, 1.6, lambda s: abs(s["position"][index] - goal[index]) < NEAR)
        return goal

    # The trial

    def run(self, fault: Fault, situation: str, seed: int) -> Result:
        """Run one trial."""
        began = time.monotonic()
        context = FaultContext(self.rig, self.bus, random.Random(seed))
        self.prepare()
        self.bring_into(situation, context)
        joints = self.robot.joints
        context.servo = context.rng.choice([j.id for j in (self._watched[:1] if fault.moving else joints)])
        positions = self.rig.update()["position"]
        directions = {
            joint.id: joint.direction * (1 if goal >= position else -1)
            for joint, goal, position in zip(joints, context.goal, positions, strict=True)
        }
        watched = [j.id for j in self._watched if not (fault.target and j.id == context.servo)]
        lateness = self._timer_lateness()
        self.rig.command(context.goal)
        before = self.bus.read_log()[-100:]
        cause = fault.inject(context)
        guards = self._keep_commanding(fault, context, cause)
        until = time.monotonic()
        verdict = self.oracle.evaluate(
            self.bus.read_log(), cause, watched, directions,
            {context.servo} if fault.target else set(), fault.pushed, before, until, fault.allowance,
        )  # fmt: skip
        missed, latency = self._stop(fault, cause + fault.allowance, verdict)
        violations = [*verdict.violations, *([context.problem] if context.problem else [])]
        if fault.restart and self.rig.driver is not None:
            self.rig.driver.kill()
        return Result(
            fault.name, fault.kind, situation, seed, fault.expect, fault.visible, violations[:5], missed,
            latency, verdict.cycles, guards, lateness, time.monotonic() - began,
        )  # fmt: skip

    def _timer_lateness(self) -> float:
        """How late a bare timer with the driver's own priority is on this machine, s."""
        period = self.robot.period / 4
        refused = priority.request(PRIORITY)
        start = time.monotonic()
        time.sleep(period)
        late = time.monotonic() - start - period
        if not refused:
            priority.release()
        return late

    def _keep_commanding(self, fault: Fault, context: FaultContext, cause: float) -> list[str]:
        """Command motion until the trial's time is over; returns the guards that spoke first.

        Where a stop is expected, the driver must have had some cycles to stop in, and no other reason to stop
        that hid this one.
        """
        period = self.robot.period
        guards: list[str] = []
        until = time.monotonic() + fault.seconds
        stopped_for = 10 * period if fault.expect == "stop" else -math.inf
        last_run = cause + fault.allowance
        while (now := time.monotonic()) < until + PATIENCE:
            state = self.rig.state
            last_run = state["now"] if state["phase"] == "run" else last_run
            if now >= until and state["now"] - last_run >= stopped_for:
                break
            if fault.send is not None:
                fault.send(context)
            else:
                self.rig.command(context.goal)
            time.sleep(period)
            state = self.rig.update()
            if not guards and state and state["now"] >= cause and state["guards"]:
                guards = list(state["guards"])
        return guards

    def _stop(self, fault: Fault, due: float, verdict: Verdict) -> tuple[str, float | None]:
        """Why the stop was missed ("" where it was not), and its latency (s)."""
        if fault.expect == "rest":
            wait_until(lambda: not self._moving(), PATIENCE)
            return self._moving(), None
        if fault.expect == "ride" or not verdict.pulled:
            return "", None
        if verdict.stopped is None:
            return "goals still pull at the end", None
        late = f"stopped only after {verdict.cycles} cycles" if verdict.cycles > MAX_STOP_CYCLES else ""
        return late, max(0.0, verdict.stopped - due)

    def _moving(self) -> str:
        """The first servo that moves with its torque on; "" where none does."""
        for id, servo in self.bus.state().items():
            if abs(servo["velocity"]) > REST_SPEED and servo["values"]["torque_enable"] == 1:
                return f"servo {id} still moves at {servo['velocity']:.2f} rad/s"
        return ""
