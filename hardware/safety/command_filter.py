"""One link of the command chain, without ROS: follows commands while it may, and stops while it may not.

The nerf and the gate are such links; they differ in the specification and in what else they do. A command is
limited when it arrives; `tick` only looks at ages and sends the steps of a stop: who sends more messages into
a stop gets no more steps of it, so that a flood ends at the first link.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nerfbot.errors import InvalidCommand
from nerfbot.limits import AXES, ActuatorLimiter, Channel, Envelope, Measured, NerfSpec, Reason

from .permit import PermitWatch
from .rate_limit import LastClamp
from .staleness import CommandStream

SETTLE = 0.02
"""s that the middleware has, after this process stood still, to bring what came meanwhile."""


class Output(NamedTuple):
    """What to send: values (channels,), effort caps (channels,) or None where there are none, the bits of
    `Reason` by channel, the limiter's time (s), and why it is a stop ("" where it is not).
    """

    values: list[float]
    effort_limit: list[float] | None
    reasons: list[int]
    time: float
    stop: str


class CommandChain:
    """Limits a stream of commands under a permit.

    Args:
        spec: the nerf, or one without impairments.
        channels: what is commanded.
        envelope: hard limits; frozen, `digest` is its hash.
        period: nominal time between commands, s.
        timeout: age from which a command is stale, s.
        jump: see `CommandStream`.
        stamps_are_time: the limiter's time is the commands' stamps (simulation only).
        last_clamp: put the envelope's own last clamp behind the limiter.
        seed: of the impairments.
        allow: limits that may stay unenforced.

    Raises what `ActuatorLimiter` raises.

    """

    def __init__(
        self,
        spec: NerfSpec,
        channels: Sequence[Channel],
        envelope: Envelope,
        period: float,
        timeout: float,
        jump: float = 0.5,
        stamps_are_time: bool = False,
        last_clamp: bool = False,
        seed: int = 0,
        allow: Sequence[str] = (),
    ) -> None:
        self.channels, self.digest = tuple(channels), envelope.digest()
        self.limiter = ActuatorLimiter(
            spec, channels, seed=seed, envelope=envelope, period=period, allow=allow
        )
        # Compiled now, where it is: the first command or the first step of a stop must not wait for that
        rest = Measured(*np.zeros((3, 1, len(self.channels))))
        self.limiter.apply(np.zeros((1, len(self.channels))), rest, 0.0, np.zeros((1, len(AXES))))
        self.limiter.stop(rest, 1.0)
        self.limiter.reset()
        self.permit = PermitWatch()
        self.stream = CommandStream(timeout, jump)
        self.conditions: dict[str, str] = {}
        """What else asks for a stop, by name; who sets one clears it."""
        self.refused = ""
        """Why the last message that was refused was."""
        self._clamp = LastClamp(channels, envelope, period) if last_clamp else None
        self._stamps_are_time = stamps_are_time
        self._time, self._heard = -math.inf, -math.inf  # the limiter's time, and when that was
        self._stamped, self._ahead, self._seed = False, 0.0, seed
        self._awake, self._settled = -math.inf, -math.inf
        self._stopping = False
        self.settling = False
        """Whether this process has just stood still: nothing is taken, and who calls `tick` empties its queue
        before it, until a tick ends this.
        """
        self.requested: list[float] | None = None
        """The last command that was taken."""

    def stop_reason(self, now: float) -> str:
        """Why nothing may move at `now` (s, steady); "" where it may."""
        if self.conditions:
            name, detail = next(iter(self.conditions.items()))
            return f"{name}: {detail}"
        forbidden = self.permit.stop(now)
        if forbidden:
            return f"permit: {forbidden}"
        if self.stream.second_source(now):
            return "second-publisher: two publishers send commands"
        if self.stream.is_stale(now):
            age = self.stream.age(now)
            return "command: none yet" if math.isinf(age) else f"command: {self.refused or 'stale'}"
        return ""

    def command(
        self,
        values: Sequence[float] | InvalidCommand,
        now: float,
        stamp: float,
        source: object,
        measured: Measured | None,
    ) -> Output | None:
        """Take a command received at `now` (s, steady); what to send, or None for nothing new.

        `values` (channels,), or what was wrong with the message: that ends the stream, and stops.
        """
        self._notice_stall(now)
        if self.settling:
            self.refused = "received after this process had stood still"
            return None
        problem = self.stream.take(now, stamp, source)
        if problem:
            self.refused = problem
            return self._begin_stop(self.stop_reason(now), now, measured)
        if isinstance(values, InvalidCommand):
            self.stream.forget()
            self.refused = str(values)
            return self._begin_stop(f"command: {values}", now, measured)
        self.requested = list(values)
        stop = self.stop_reason(now)
        if stop:
            return self._begin_stop(stop, now, measured)
        self.refused = ""
        time = self._moment(stamp, now)
        lift = np.array([self.permit.levels(now)])
        try:
            limited = self.limiter.apply(np.array([values]), measured, time, lift)
        except InvalidCommand as error:  # a measurement that the nerf needs is missing
            self.refused = str(error)
            return self._begin_stop(f"command: {error}", now, measured)
        self._time, self._heard = time, now
        return self._output(limited, "")

    def tick(self, now: float, measured: Measured | None) -> Output | None:
        """Look at ages at `now` (s, steady): a step of the stop where one is due, else None."""
        self._notice_stall(now)
        self.settling = self.settling and now < self._settled
        stop = self.stop_reason(now)
        return self._stop(stop, now, measured) if stop else None

    def _moment(self, stamp: float, now: float) -> float:
        """The limiter's time of a command: its receipt, or in simulation its stamp.

        The steps of a stop go by the steady clock, and may have run ahead of a simulation that is slower:
        then the stamps count on from there.
        """
        if not self._stamps_are_time or stamp <= 0.0:
            return now
        if not self._stamped:
            self._stamped = True
            self.limiter.reset(seeds=[self._seed])  # it has stood still: begin with the first command
        elif stamp + self._ahead <= self._time:
            self._ahead = self._time + 1e-3 - stamp
        return stamp + self._ahead

    def _notice_stall(self, now: float) -> None:
        """After standing still, what waits in the queues is as old as that: take nothing from them."""
        if now - self._awake > self.stream.timeout and not math.isinf(self._awake):
            self.settling, self._settled = True, now + SETTLE
            self.stream.forget()
            self.refused = f"this process stood still for {now - self._awake:.3f} s"
        self._awake = now

    def _begin_stop(self, reason: str, now: float, measured: Measured | None) -> Output | None:
        """The first step of a stop, if there is a reason and none has begun; the others are the timer's."""
        return self._stop(reason, now, measured) if reason and not self._stopping else None

    def _stop(self, reason: str, now: float, measured: Measured | None) -> Output:
        time = now
        if self._stamps_are_time:
            time = self._time + (now - self._heard) if not math.isinf(self._heard) else 0.0
        self._time, self._heard = max(time, self._time), now
        output = self._output(self.limiter.stop(measured, time), reason)
        resting = zip(self.channels, output.values, strict=True)
        if all(channel.mode == "position" or abs(value) < 1e-9 for channel, value in resting):
            self.stream.settle()
        return output

    def _output(self, limited: object, stop: str) -> Output:
        self._stopping = bool(stop)
        values = limited.value[0].tolist()  # type: ignore[attr-defined]
        caps = limited.effort_limit[0].tolist()  # type: ignore[attr-defined]
        reasons = limited.reasons[0].tolist()  # type: ignore[attr-defined]
        if self._clamp is not None:
            values, changed = self._clamp.apply(values, self._time)
            if changed:
                reasons = [reason | Reason.ENVELOPE for reason in reasons]
                self.refused = f"last clamp: {changed}"
        return Output(values, caps if any(map(math.isfinite, caps)) else None, reasons, self._time, stop)
