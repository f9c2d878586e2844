"""A fault of the campaign as data, and what it may act on."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ..emulator.process import BusProcess
from .rig import Rig

Expect = Literal["stop", "rest", "ride"]


@dataclass
class FaultContext:
    """One trial as its fault sees it: rig, bus, random numbers, goals (rad) and the servo that it is to hit.

    ``problem``: a violation that the fault itself finds, "" for none.
    """

    rig: Rig
    bus: BusProcess
    rng: random.Random
    goal: list[float] = field(default_factory=list)
    far_goal: list[float] = field(default_factory=list)
    servo: int = 1
    flooded: bool = False
    steps_back: int = 0
    problem: str = ""

    def named_goal(self) -> dict[str, float]:
        """The goal by joint."""
        return dict(zip(self.rig.robot.names, self.goal, strict=True))


@dataclass(frozen=True)
class Fault:
    """One fault. ``inject`` makes it happen and returns the time of the cause (s); ``send`` replaces the
    policy's command while it lasts.

    ``expect``: ``stop`` (a guard must stop the arm), ``rest`` (nobody can write any more: the servos must
    come to rest by themselves) or ``ride`` (the arm may go on; nothing may leave the envelope). ``visible``:
    the driver sees the cause itself, so that latency counts in bus cycles; ``allowance``: the time-out by
    which the design notices a silent cause, s. ``target``: it hits one servo, ``moving`` one that surely
    moves. ``pushed``: a force moves the arm away from its goals. ``restart``: its effect stays, and the next
    trial needs a new driver and healthy servos. ``emulated``: only the emulator can have it.
    """

    name: str
    kind: str
    expect: Expect
    inject: Callable[[FaultContext], float]
    send: Callable[[FaultContext], None] | None = None
    visible: bool = False
    allowance: float = 0.0
    target: bool = False
    moving: bool = False
    pushed: bool = False
    restart: bool = False
    emulated: bool = False
    seconds: float = 0.3
