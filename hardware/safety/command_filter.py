"""Filters a stream of commands under a permit, without ROS: follows it while it may, stops while it may not.

The nerf and the gate each hold one; they differ in the specification. A command is limited when it arrives;
`tick` only checks ages and sends the steps of a stop. Commands sent into a stop trigger no further steps, so
a flood ends at the first filter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nerfbot.errors import InvalidCommand
from nerfbot.limits import ActuatorLimiter, Channel, Envelope, Limited, Measured, NerfSpec, Reason

from .permit import PermitWatch
from .rate_limit import RateLimiter
from .staleness import StreamMonitor
from .warm_up import warm_up

STALL_RECOVERY = 0.02
"""s that the middleware has, after this process was held up, to deliver what arrived meanwhile."""


class FilteredCommand(NamedTuple):
    """What to send.

    ``values`` (channels,); ``effort_limit`` (channels,) or None where there are none; ``reasons``, the bits
    of `Reason` by channel; ``time`` of the limiter, s; ``stop``, why this is a stop ("" where it is not).
    """

    values: list[float]
    effort_limit: list[float] | None
    reasons: list[int]
    time: float
    stop: str


class CommandFilter:
    """Limits a stream of commands under a permit.

    Args:
        spec: the nerf, or one without impairments.
        channels: what is commanded.
        envelope: hard limits; frozen, `digest` is its hash.
        period: nominal time between commands, s.
        timeout: age from which a command is stale, s.
        jump: see `StreamMonitor`.
        stamps_are_time: the limiter's time is the commands' stamps (simulation only).
        rate_limit: apply the envelope's own `RateLimiter` after the limiter.
        tick: time between calls of `tick`, s: no step of a stop is larger than it allows.
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
        rate_limit: bool = False,
        tick: float = 0.02,
        seed: int = 0,
        allow: Sequence[str] = (),
    ) -> None:
        self.channels, self.digest = tuple(channels), envelope.digest()
        self.limiter = ActuatorLimiter(
            spec, channels, seed=seed, envelope=envelope, period=period, allow=allow
        )
        warm_up()  # neither the first command nor the first step of a stop may wait for it
        self.permit = PermitWatch()
        self.stream = StreamMonitor(timeout, jump)
        self.stop_conditions: dict[str, str] = {}
        """Further reasons to stop, by name; whoever sets one clears it."""
        self.refusal = ""
        """Why the last refused message was refused."""
        self._rate_limiter = RateLimiter(channels, envelope, period, tick) if rate_limit else None
        self._tick, self._last_values = tick, [0.0] * len(self.channels)
        self.at_rest = True
        """Whether what was sent last is the end of a stop: zeros, or a position or damping that holds."""
        self._limits = [self.limiter.envelope.channel(channel) for channel in self.channels]
        self._effort_ranges = [
            (item.holding_effort or 0.0, math.inf if item.max_effort is None else item.max_effort)
            for item in self._limits
        ]
        self.stamps_are_time = stamps_are_time
        self._time, self._time_set_at = -math.inf, -math.inf  # the limiter's time, and the steady clock then
        self._has_stamp, self._stamp_offset, self._seed = False, 0.0, seed
        self._last_call, self._recovered_at = -math.inf, -math.inf
        self._stopping = False
        self.recovering = False
        """Whether this process was just held up: it accepts nothing until a tick ends this, and the caller
        of `tick` empties its queue before it.
        """
        self.requested: list[float] | None = None
        """The last accepted command."""

    def stop_reason(self, now: float) -> str:
        """Why nothing may move at `now` (s, steady); "" where it may."""
        held = self.held_reason(now)
        if not held and self.stream.is_stale(now):
            age = self.stream.age(now)
            return "command: none yet" if math.isinf(age) else f"command: {self.refusal or 'stale'}"
        return held

    def held_reason(self, now: float) -> str:
        """Why nothing may move at `now` (s, steady) whatever is commanded; "" where it may."""
        if self.stop_conditions:
            name, detail = next(iter(self.stop_conditions.items()))
            return f"{name}: {detail}"
        forbidden = self.permit.stop(now)
        if forbidden:
            return f"permit: {forbidden}"
        if self.stream.has_second_source(now):
            return "second-publisher: two publishers send commands"
        return ""

    def command(
        self,
        values: Sequence[float] | InvalidCommand,
        now: float,
        stamp: float,
        source: object,
        measured: Measured | None,
    ) -> FilteredCommand | None:
        """Handle a command received at `now` (s, steady); what to send, or None for nothing new.

        `values` (channels,), or what was wrong with the message: that ends the stream, and stops.
        """
        self._detect_stall(now)
        if self.recovering:
            self.refusal = "received after this process had stood still"
            return None
        problem = self.stream.accept(now, stamp, source)
        if problem:
            self.refusal = problem
            return self._begin_stop(self.stop_reason(now), now, measured)
        if isinstance(values, InvalidCommand):
            self.stream.reset()
            self.refusal = str(values)
            return self._begin_stop(f"command: {values}", now, measured)
        self.requested = list(values)
        stop = self.stop_reason(now)
        if stop:
            return self._begin_stop(stop, now, measured)
        self.refusal = ""
        time = self._limiter_time(stamp, now)
        lift = np.array([self.permit.levels(now)])
        try:
            limited = self.limiter.apply(np.array([values]), measured, time, lift)
        except InvalidCommand as error:  # a measurement that the nerf needs is missing
            self.refusal = str(error)
            return self._begin_stop(f"command: {error}", now, measured)
        self._time, self._time_set_at = time, now
        return self._output(limited, "")

    def tick(self, now: float, measured: Measured | None) -> FilteredCommand | None:
        """Check ages at `now` (s, steady): a step of the stop where one is due, else None."""
        self._detect_stall(now)
        self.recovering = self.recovering and now < self._recovered_at
        stop = self.stop_reason(now)
        return self._stop(stop, now, measured) if stop else None

    def bare_stop(self, now: float) -> FilteredCommand:
        """A step of a stop without the limiter, for a defect in it: to zero, and positions hold."""
        assert self._rate_limiter is not None
        self._advance(now)
        values = self._rate_limiter.stop(self._time)
        self.at_rest, self._last_values = values == self._last_values, values
        reasons: list[int] = [Reason.STOP] * len(values)
        return FilteredCommand(values, None, reasons, self._time, "internal-error: the limiter failed")

    @property
    def longest_stop(self) -> float:
        """Seconds that a stop takes at most, from what was sent last; a second for what is no velocity."""
        times = [
            abs(value) / (limits.stop_deceleration or math.inf)
            for channel, limits, value in zip(self.channels, self._limits, self._last_values, strict=True)
            if channel.mode == "velocity"
        ]
        return 1.0 + 2.0 * max(times, default=0.0)  # twice: the ticks of a busy machine are late

    def bound_effort_limit(self, values: Sequence[float]) -> list[float]:
        """Effort limits (channels,) no lower than what holds the load and no higher than the envelope's.

        Raises `InvalidCommand` for another number of values, a negative one, or NaN.
        """
        if len(values) != len(self.channels) or not all(value >= 0.0 for value in values):
            raise InvalidCommand(f"must be {len(self.channels)} numbers, got {list(values)}")
        bounded = zip(values, self._effort_ranges, strict=True)
        return [min(max(value, low), high) for value, (low, high) in bounded]

    def _limiter_time(self, stamp: float, now: float) -> float:
        """The limiter's time of a command: its receipt, or in simulation its stamp.

        The steps of a stop follow the steady clock, and may have run ahead of a slower simulation: then the
        stamps count on from there.
        """
        if not self.stamps_are_time or stamp <= 0.0:
            return now
        if not self._has_stamp:
            self._has_stamp = True
            self.limiter.reset(seeds=[self._seed])  # nothing has moved yet: begin with the first command
        elif stamp + self._stamp_offset <= self._time:
            self._stamp_offset = self._time + 1e-3 - stamp
        return stamp + self._stamp_offset

    def _detect_stall(self, now: float) -> None:
        """After this process was held up, the queued messages are as old as that: accept none of them."""
        if now - self._last_call > self.stream.timeout and not math.isinf(self._last_call):
            self.recovering, self._recovered_at = True, now + STALL_RECOVERY
            self.stream.reset()
            self.refusal = f"this process stood still for {now - self._last_call:.3f} s"
        self._last_call = now

    def _begin_stop(self, reason: str, now: float, measured: Measured | None) -> FilteredCommand | None:
        """The first step of a stop, if there is a reason and none has begun; `tick` sends the others."""
        return self._stop(reason, now, measured) if reason and not self._stopping else None

    def _stop(self, reason: str, now: float, measured: Measured | None) -> FilteredCommand:
        self._advance(now)
        before = self._last_values
        output = self._output(self.limiter.stop(measured, self._time, self._tick), reason)
        outputs = list(zip(self.channels, output.values, before, strict=True))
        self.at_rest = all(
            abs(value) < 1e-9 if channel.mode == "velocity" else value == last
            for channel, value, last in outputs
        )
        if all(channel.mode == "position" or abs(value) < 1e-9 for channel, value, _ in outputs):
            self.stream.note_rest()
        return output

    def _advance(self, now: float) -> None:
        """Let the limiter's time go on by the steady clock, as a stop does."""
        time = now
        if self.stamps_are_time:
            time = self._time + (now - self._time_set_at) if not math.isinf(self._time_set_at) else 0.0
        self._time, self._time_set_at = max(time, self._time), now

    def _output(self, limited: Limited, stop: str) -> FilteredCommand:
        self._stopping = bool(stop)
        values, effort_limit = limited.value[0].tolist(), limited.effort_limit[0].tolist()
        reasons = limited.reasons[0].tolist()
        if self._rate_limiter is not None:
            values, change = self._rate_limiter.apply(values, self._time, stopping=bool(stop))
            if change:
                reasons = [reason | Reason.ENVELOPE for reason in reasons]
                self.refusal = f"rate limit: {change}"
        self._last_values, self.at_rest = values, False
        has_limit = any(map(math.isfinite, effort_limit))
        return FilteredCommand(values, effort_limit if has_limit else None, reasons, self._time, stop)
