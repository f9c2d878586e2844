"""Whether a stream of commands may be followed: fresh by receipt, in order, and from one source.

A message ages from its receipt on a steady clock. Its stamp is compared with the stamps before it only, never
with a clock: a sender whose clock is an hour off is followed, one whose clock jumps is not.
"""

from __future__ import annotations

import math


class StreamMonitor:
    """Accepts or refuses each message, and knows how old the stream is.

    Args:
        timeout: age in s from which the stream is stale.
        jump: how far in s a message's delay (receipt minus stamp) may differ from that of the last accepted
            one. Beyond it the message was held up, or a clock jumped.

    After a jump, messages are refused until `note_rest`; then the stream begins anew. A stamp of 0 means
    none: age and source are checked, order is not; one among stamped messages is refused.

    A stamp that repeats is refused, as from a sender that hangs, except where the sender's clock is coarse:
    where stamps repeated before they moved on, each may repeat for twice that step, at most for ``jump``.

    """

    def __init__(self, timeout: float, jump: float = 0.5) -> None:
        self.timeout, self.jump = timeout, jump
        self._received = -math.inf
        self._stamp: float | None = None
        self._jump_refusal = ""
        self._last_stamp = 0.0  # survives `reset`: a frozen repeat must not begin a new stream
        self._delay = 0.0
        self._repeats, self._coarse_step = False, 0.0
        self._stamp_since = -math.inf  # receipt of the first message with the last stamp
        self._source: object = None
        self._other_source_at = -math.inf

    def accept(self, received: float, stamp: float, source: object = None) -> str:
        """Check a message `received` (s, steady) with a `stamp` (s); "" or why it is refused."""
        if 0.0 < stamp == self._last_stamp:
            self._repeats = True
        if self.is_stale(received):
            if self._jump_refusal:
                return self._jump_refusal
            before = self._last_stamp
            if stamp > 0.0 and before - self.jump < stamp <= before and not self._may_repeat(received, stamp):
                return f"stamp = {stamp:g}: the same as the message before, or older"  # a frozen sender
            self._stamp, self._source = None, source
        elif self.is_another(source):
            self._other_source_at = received
            return "a second publisher sends commands"
        problem = self._out_of_order(received, stamp)
        if problem:
            return problem
        if stamp != self._last_stamp:
            step = stamp - self._last_stamp
            self._coarse_step = step if self._repeats and 0.0 < step <= self.jump else 0.0
            self._stamp_since, self._repeats = received, False
        self._received, self._source, self._last_stamp = received, self._source or source, stamp
        return ""

    def is_another(self, source: object) -> bool:
        """Whether a sender is another than the one that is followed."""
        return source is not None and self._source is not None and source != self._source

    def _may_repeat(self, received: float, stamp: float) -> bool:
        """Whether a stamp may come again, because the sender's clock moves in steps."""
        longest = min(2.0 * self._coarse_step, self.jump)
        return stamp == self._last_stamp and received - self._stamp_since < longest

    def _out_of_order(self, received: float, stamp: float) -> str:
        if not math.isfinite(stamp) or stamp < 0.0:
            return f"stamp = {stamp}: must be a time"
        before = self._stamp
        if stamp == 0.0:
            self._stamp = 0.0 if before is None else before
            return "stamp = 0 in a stream that was stamped" if before else ""
        if before:
            if stamp == before:
                if self._may_repeat(received, stamp):
                    return ""
                return f"stamp = {stamp:g}: the same as the message before"
            if stamp < before and before - stamp < self.jump:
                return f"stamp = {stamp:g}: older than the message before, {before:g}"
            change = (received - stamp) - self._delay
            if abs(change) > self.jump:
                self._jump_refusal = (
                    f"stamp = {stamp:g}: its delay changed by {change:g} s (late, or a clock jumped)"
                )
                return self._jump_refusal
        self._stamp, self._delay = stamp, received - stamp
        return ""

    def note_rest(self) -> None:
        """Record that the robot is at rest: after a jump, a stream may begin anew from here."""
        self._jump_refusal = ""

    def age(self, now: float) -> float:
        """Seconds since the last accepted message; infinite before the first."""
        return now - self._received

    def is_stale(self, now: float) -> bool:
        """Whether the stream has been silent for the timeout, or the clock ran backwards."""
        return not 0.0 <= self.age(now) < self.timeout

    def has_second_source(self, now: float) -> bool:
        """Whether another sender was heard within the last second."""
        return now - self._other_source_at < 1.0

    def reset(self) -> None:
        """Make the stream stale until the next message."""
        self._received, self._stamp, self._source = -math.inf, None, None
