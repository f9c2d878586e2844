"""The oracle: evaluates the emulator's log of register writes by the robot file, not by the driver.

A violation is a register outside the envelope, a write to EEPROM while torque is on, or a goal so far ahead
of its joint that a dead driver would leave it moving. A stop has come when no goal pulls its joint forward.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..robot import JointConfig, ServoRobot

PULL = 14
"""A goal this many counts further than a joint has been, in the direction it was sent, still pulls it."""

JUMP_WRITES = 6
"""So many writes may follow an encoder's jump before the driver must know of it: two answers confirm it, and
without any it continues for 40 ms.
"""

LEAD = 0.12
"""How far a goal may lead beyond the braking distance at full speed and three cycles of travel, rad."""


@dataclass(frozen=True)
class RegisterWrite:
    """One register write of the log: time (s), servo, register values, where the joint was, torque."""

    time: float
    id: int
    values: dict[str, int]
    counts: int
    velocity: float
    torque: int


@dataclass
class Verdict:
    """What the log says about a trial; ``stopped``: time of the write that stopped the arm (s), or None.

    ``pulled``: there was motion to stop. ``cycles``: writes that still pulled a servo when its stop was due,
    the most of any servo.
    """

    violations: list[str] = field(default_factory=list)
    stopped: float | None = None
    pulled: bool = False
    cycles: int = 0
    writes: int = 0


class Oracle:
    """Evaluates writes for ``robot``; it computes the bounds itself, from the robot file alone."""

    def __init__(self, robot: ServoRobot) -> None:
        self.robot = robot
        self._joints = {joint.id: joint for joint in robot.joints}
        self._bounds = {joint.id: self._bounds_of(joint) for joint in robot.joints}

    def _bounds_of(self, joint: JointConfig) -> dict[str, tuple[float, float]]:
        """Smallest and largest count that may be written, by register."""
        limits, servo = self.robot.envelope.channel(joint.channel()), joint.servo
        turn = 2.0 * math.pi / servo.resolution
        low, high = limits.min_position or 0.0, limits.max_position or 0.0
        ends = sorted(joint.home + joint.direction * end / turn for end in (low, high))
        bounded = {
            "effort": limits.max_effort or 0.0,
            "velocity": limits.max_velocity or 0.0,
            "acceleration": max(limits.max_acceleration or 0.0, limits.stop_deceleration or 0.0),
        }
        bounds = {"goal_position": (ends[0], ends[1])}
        for name, carrier in servo.limits.items():
            register = servo.registers[carrier.ram]
            least = 1.0 if register.zero == "unlimited" else 0.0
            bounds[carrier.ram] = (least, bounded[name] / register.scale + 1e-6)
        return bounds

    def writes(self, lines: Sequence[Sequence[Any]]) -> list[RegisterWrite]:
        """The log's lines that are writes, decoded with the control tables."""
        writes = []
        for line in lines:
            if line[1] == "w" and line[2] in self._joints:
                servo = self._joints[line[2]].servo
                values = servo.decode_block(line[3], bytes.fromhex(line[4]))
                writes.append(RegisterWrite(line[0], line[2], values, line[6], line[7], line[8]))
        return writes

    def violations(
        self,
        writes: Sequence[RegisterWrite],
        cause: float = -math.inf,
        unaware: Collection[int] = (),
        pushed: bool = False,
    ) -> list[str]:
        """Every write outside the envelope, one line each.

        After ``cause`` (s) the first `JUMP_WRITES` goals of the servos ``unaware`` may lead: their encoder
        has just jumped, and the driver does not know yet. ``pushed``: a force moves joints away from their
        goals.
        """
        problems = []
        after: Counter[int] = Counter()
        for write in writes:
            joint, servo = self._joints[write.id], self._joints[write.id].servo
            for name, value in write.values.items():
                low, high = self._bounds[write.id].get(name, (-math.inf, math.inf))
                if not low <= value <= high:
                    problems.append(f"{joint.name}: {name} = {value} outside {low:g} to {high:g}")
                if servo.registers[name].area == "eeprom" and write.torque == 1:
                    problems.append(f"{joint.name}: {name} = {value} written to EEPROM with torque on")
            after[write.id] += write.time >= cause and "goal_position" in write.values
            excused = pushed or (write.id in unaware and after[write.id] <= JUMP_WRITES)
            if "goal_position" in write.values and write.torque == 1 and not excused:
                ahead = abs(write.values["goal_position"] - write.counts) * servo.radians_per_count
                if ahead > self._lead(joint):
                    problems.append(f"{joint.name}: goal {ahead:.3f} rad ahead of the joint")
        return problems

    def _lead(self, joint: JointConfig) -> float:
        limits = self.robot.envelope.channel(joint.channel())
        speed, braking = limits.max_velocity or 0.0, limits.max_acceleration or 1.0
        # A nerfed acceleration needs a longer lead at the same speed; the stop deceleration is its lower
        # bound.
        braking = min(braking, limits.stop_deceleration or braking)
        return speed * speed / (2.0 * braking) + 3.0 * speed * self.robot.period + LEAD

    def evaluate(
        self,
        lines: Sequence[Sequence[Any]],
        cause: float,
        watched: Sequence[int],
        directions: dict[int, int],
        unaware: Collection[int] = (),
        pushed: bool = False,
        before: Sequence[Sequence[Any]] = (),
        until: float = -math.inf,
        allowance: float = 0.0,
    ) -> Verdict:
        """Evaluate a trial.

        ``cause``: its time, s. ``watched``: the servos that must stop, ``directions`` the sign of each one's
        commanded motion in counts. ``unaware`` and ``pushed``: see `violations`. ``before``: the log's lines
        before the cause, which show whether there was motion to stop. ``until``: the end of the log, s, also
        where nothing more was written. ``allowance``: the time-out of the cause, s; cycles count from its
        end. It restarts where the driver stopped for another reason and went on.
        """
        writes = self.writes(lines)
        result = Verdict(self.violations(writes, cause, unaware, pushed), writes=len(writes))
        last = max(cause, until)
        earlier = self.writes(before)
        last_goals = {write.id: write for write in earlier if "goal_position" in write.values}
        # how far a joint has been in its direction: a goal behind that holds it and does not pull
        furthest = dict.fromkeys(watched, -math.inf)
        for write in earlier:
            if write.id in furthest:
                furthest[write.id] = max(furthest[write.id], directions[write.id] * write.counts)
        result.pulled = any(
            id in watched and directions[id] * write.values["goal_position"] - furthest[id] > PULL
            for id, write in last_goals.items()
        )
        late: Counter[int] = Counter()
        since = dict.fromkeys(watched, cause)
        for write in writes:
            goal = write.values.get("goal_position")
            if goal is None or write.id not in watched or write.time < cause or write.torque != 1:
                continue
            furthest[write.id] = max(furthest[write.id], directions[write.id] * write.counts)
            if directions[write.id] * goal - furthest[write.id] > PULL:
                result.pulled, result.stopped = True, None
                late[write.id] += write.time >= since[write.id] + allowance
            else:
                since[write.id] = write.time
                result.stopped = result.stopped or write.time
            last = max(last, write.time)
        result.cycles = max(late.values(), default=0)
        if not result.pulled:
            result.stopped = None
        elif result.stopped is not None and last - result.stopped < 0.03:
            result.stopped = None  # the last write alone shows no stop yet
        return result
