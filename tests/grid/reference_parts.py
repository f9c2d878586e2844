"""Parts of the reference world: its random numbers, what a nerf leaves of a robot, and the command path.

Written from docs/grid.md and docs/nerf.md, in plain Python; nothing here is shared with the kernels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from nerfbot.course.elements import Interference
from nerfbot.limits import AXES, NerfSpec
from nerfbot.limits.spec import Burst
from nerfbot.limits.value import Limit

WORD = 2**64
GOLDEN = 0x9E3779B97F4A7C15
STRENGTH, SPEED, SENSING, RELIABILITY = range(len(AXES))
ROUNDING = 1e-9

# What a number is drawn for.
LEVEL, PLAN, NERF, DROP, HOLD, INTERMITTENT, INTERFERENCE, DESTINATION = range(1, 9)

# Reasons why a command was not executed as requested.
DROPPED, HELD, CUT, INTERFERED, SLOW, BLOCKED, WEAK, LATE = (2**bit for bit in range(8))


def scramble(x: int) -> int:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014)."""
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % WORD
    x = (x ^ x >> 27) * 0x94D049BB133111EB % WORD
    return x ^ x >> 31


@dataclass
class Draws:
    """The random numbers of one episode of one world."""

    seed: int
    episode: int

    def random_bits(self, purpose: int, tick: int, lane: int = 0) -> int:
        """64 bits for a purpose at a tick; lanes tell several draws of one tick apart."""
        key = scramble((scramble((self.seed + GOLDEN) % WORD) + self.episode * GOLDEN) % WORD)
        counter = purpose << 48 | lane << 32 | tick
        return scramble((scramble(key ^ counter) + GOLDEN) % WORD)

    def uniform(self, purpose: int, tick: int) -> float:
        """A number in [0, 1)."""
        return (self.random_bits(purpose, tick) >> 11) / 2.0**53

    def below(self, purpose: int, n: int, tick: int = 0, lane: int = 0) -> int:
        """A whole number from 0 to n - 1."""
        return (self.random_bits(purpose, tick, lane) >> 32) * n >> 32


def at(limit: Limit | None, level: float, absent: float) -> float:
    """A limit at a lift level: on the straight line between its two ends."""
    if limit is None:
        return absent
    assert isinstance(limit.nerfed, float), "the reference knows fixed limits only"
    lifted = limit.nerfed if limit.lifted is None else limit.lifted
    assert isinstance(lifted, float)
    if level <= 0.0:
        return limit.nerfed
    return lifted if level >= 1.0 else (1.0 - level) * limit.nerfed + level * lifted


class Nerf:
    """What a specification with fixed limits leaves of a robot at given lift levels."""

    def __init__(self, spec: NerfSpec, cell: float) -> None:
        self.drive, self.link = spec.channel("linear.x"), spec.link()
        self.ranges = [spec.sensor(name).range for name in spec.sensors]
        self.top = 1.0
        envelope = None if spec.envelope is None else spec.envelope.find("linear.x")
        if self.drive.velocity is not None:
            self.top = at(self.drive.velocity, 1.0, math.inf)
        elif envelope is not None and envelope.max_velocity is not None:
            self.top = envelope.max_velocity
        self.tick = cell / self.top

    def speed(self, lift: list[float]) -> float:
        """m/s at which it drives."""
        speed = min(self.top, at(self.drive.velocity, lift[SPEED], math.inf))
        speed *= at(self.drive.gain, lift[STRENGTH], 1.0)
        return min(speed, at(self.drive.no_load_velocity, lift[STRENGTH], math.inf))

    def push(self, lift: list[float]) -> float:
        """N that it pushes with."""
        level = lift[STRENGTH]
        return min(at(self.drive.effort, level, math.inf), at(self.drive.stall_effort, level, math.inf))

    def sight(self, lift: list[float]) -> float:
        """m that it sees in clear air."""
        return max((at(limit, lift[SENSING], math.inf) for limit in self.ranges), default=math.inf)

    def late(self, lift: list[float]) -> int:
        """Ticks from a command's sending to its arrival."""
        level = lift[RELIABILITY]
        seconds = at(self.link.latency, level, 0.0) + 0.5 * at(self.link.jitter, level, 0.0)
        return round(seconds / self.tick)


@dataclass
class CommandPath:
    """From the move requested for to the one executed: interference, latency, stuck, lost, dead."""

    nerf: Nerf
    draws: Draws
    under_way: list[tuple[int, int]] = field(default_factory=list)  # (tick at which it is due, command)
    arrived: int = 0
    stuck_command: int = 0  # the command that an actuator that is stuck repeats
    faults: set[int] = field(default_factory=set)
    burst_over: float = 0.0

    def send(
        self, requested: int, tick: int, lift: list[float], zone: Interference | None
    ) -> tuple[int, int]:
        """The move that is executed at this tick, and the reasons why it is another one."""
        now, reasons = tick * self.nerf.tick, 0
        self._interfere(zone, now, tick, lift)
        command = requested
        if INTERFERED in self.faults and command:
            command, reasons = 0, reasons | INTERFERED
        due = tick + self.nerf.late(lift)
        if self.under_way:
            due = max(due, self.under_way[-1][0])  # none overtakes another
        self.under_way.append((due, command))
        while self.under_way and self.under_way[0][0] <= tick:
            self.arrived = self.under_way.pop(0)[1]
        if self.arrived != command:
            command, reasons = self.arrived, reasons | LATE
        drive = self.nerf.drive
        for fault, burst, purpose in (
            (DROPPED, self.nerf.link.drop, DROP),
            (HELD, drive.hold, HOLD),
            (CUT, drive.intermittent, INTERMITTENT),
        ):
            self._burst(fault, burst, purpose, tick, lift)
        if HELD in self.faults and command != self.stuck_command:
            command, reasons = self.stuck_command, reasons | HELD
        self.stuck_command = command
        for fault in (DROPPED, CUT):
            if fault in self.faults and command:
                command, reasons = 0, reasons | fault
        return command, reasons

    def _interfere(self, zone: Interference | None, now: float, tick: int, lift: list[float]) -> None:
        if zone is None:
            self.faults.discard(INTERFERED)
            self.burst_over = 0.0
        elif now >= self.burst_over:
            lost = self.draws.uniform(INTERFERENCE, tick) < zone.loss * (1.0 - lift[RELIABILITY])
            (self.faults.add if lost else self.faults.discard)(INTERFERED)
            self.burst_over = now + zone.burst

    def _burst(self, fault: int, burst: Burst | None, purpose: int, tick: int, lift: list[float]) -> None:
        """One tick of a process that turns on at `rate` and off at 1 / `duration`."""
        level = lift[RELIABILITY]
        rate = 0.0 if burst is None else at(burst.rate, level, 0.0)
        chance = 0.0
        if burst is not None and rate > 0.0:
            off = 1.0 / at(burst.duration, level, 0.0)
            share, stays = rate / (rate + off), math.exp(-(rate + off) * self.nerf.tick)
            chance = share * (1.0 - stays) + (stays if fault in self.faults else 0.0)
        on = self.draws.uniform(purpose, tick) < chance
        (self.faults.add if on else self.faults.discard)(fault)
