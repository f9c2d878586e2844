"""The state of one joint as its servo last reported it: `feedback` fills it in, `guards` check it."""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_MISSED = 2
"""Cycles in a row that a servo may leave unanswered before the driver stops."""

CONFIRM_CYCLES = 3
"""A joint may appear to have moved for this many cycles at most before a second answer must confirm it."""

PUSH_FACTOR = 1.5
"""How much faster than the envelope allows a force may push a joint that holds its torque."""

JUMP_MARGIN = 0.15
"""How much further than it can turn a joint may appear to move in a cycle, rad.

The driver does not believe one such reading (a Feetech's checksum is one byte: noise passes it once in 256
times); a second one like it is a jump of the encoder.
"""

MAX_PRESSING = 0.6
"""Share of its stall torque with which a joint may press on something.

Above 0.8 an STS3215 protects itself after 2 s (memory table, 35 and 36).
"""


@dataclass
class JointState:
    """One joint in SI units.

    ``max_speed``: without a load, rad/s; ``speed_limit``: by the envelope. ``goal_error``: goal minus
    position, rad. ``displacement``: how far the last reading moved, rad, and ``max_displacement`` how far it
    can have moved. ``unconfirmed``: position of a doubtful answer that a second one must confirm.
    ``silent_for``: time since the last good answer, s. ``mismatches``: reads in a row in which a register did
    not hold what was written, ``rotation_mismatches`` for registers that are read in turn; ``mismatch``
    describes it. ``foreign_goal``: a goal that another program has written, in words.
    ``blocked_for``: how long (s) the joint has been still and far from its goal, ``pressing_for`` how much of
    that at its effort limit; ``max_pressing``: effort with which it may do so, N·m.
    """

    name: str
    low: float
    high: float
    max_speed: float
    speed_limit: float
    temperature_limit: float
    voltage_low: float
    voltage_high: float
    position: float = 0.0
    velocity: float = 0.0
    effort: float = 0.0
    temperature: float = 0.0
    voltage: float = 0.0
    goal_error: float = 0.0
    displacement: float = 0.0
    max_displacement: float = math.inf
    unconfirmed: float = math.nan
    silent_for: float = 0.0
    missed: int = 0
    mismatches: int = 0
    rotation_mismatches: int = 0
    mismatch: str = ""
    hardware_errors: tuple[str, ...] = ()
    torque_on: bool = True
    watchdog_fired: bool = False
    eeprom_mismatch: str = ""
    foreign_goal: str = ""
    blocked_for: float = 0.0
    pressing_for: float = 0.0
    is_gripper: bool = False
    max_pressing: float = math.inf

    def reach(self, seconds: float) -> float:
        """How far the joint may appear to move in ``seconds`` since its last good answer, rad.

        A joint that holds its torque keeps to the envelope, but for a push; a hand may move one without.
        """
        pushed = min(PUSH_FACTOR * self.speed_limit, self.max_speed)
        return (pushed if self.torque_on else self.max_speed) * seconds + JUMP_MARGIN
