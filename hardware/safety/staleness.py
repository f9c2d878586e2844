"""Whether a stream of commands can be followed: fresh by receipt, in order, and from one source.

A message ages from its receipt on a steady clock. Its stamp is never compared with a clock, only with the
stamps before it: a sender whose clock is an hour off is as good as any, one whose clock jumps is not.
"""

from __future__ import annotations

import math


class CommandStream:
    """Decides for each message whether it is taken, and says how old the stream is.

    Args:
        timeout: age in s from which the stream is stale.
        jump: by how much in s a message's delay (receipt less stamp) may differ from that of the last one
            that was taken: later is a message that was held up, earlier or much later a clock that jumped.

    Messages of a sender whose stamps jumped are refused until `settle`; then the stream begins anew. A
    stamp of 0 means none: age and source are judged, order is not; one among stamped messages is refused.

    """

    def __init__(self, timeout: float, jump: float = 0.5) -> None:
        self.timeout, self.jump = timeout, jump
        self._received = -math.inf
        self._stamp: float | None = None
        self._jumped = ""
        self._last_stamp = 0.0  # kept when the stream begins anew: a frozen repeat must not begin one
        self._offset = 0.0
        self._source: object = None
        self._other_heard = -math.inf

    def take(self, received: float, stamp: float, source: object = None) -> str:
        """Take a message received at `received` (s, steady), stamped `stamp` (s); "" or why it is refused."""
        if self.is_stale(received):
            if self._jumped:
                return self._jumped
            before = self._last_stamp
            if stamp > 0.0 and before - self.jump < stamp <= before:
                return f"stamp = {stamp:g}: the same as the message before, or older"  # a frozen sender
            self._stamp, self._source = None, source
        elif source is not None and self._source is not None and source != self._source:
            self._other_heard = received
            return "a second publisher sends commands"
        problem = self._out_of_order(received, stamp)
        if problem:
            return problem
        self._received, self._source, self._last_stamp = received, self._source or source, stamp
        return ""

    def _out_of_order(self, received: float, stamp: float) -> str:
        if not math.isfinite(stamp) or stamp < 0.0:
            return f"stamp = {stamp}: must be a time"
        before = self._stamp
        if stamp == 0.0:
            self._stamp = 0.0 if before is None else before
            return "stamp = 0 in a stream that was stamped" if before else ""
        if before:
            if stamp == before:
                return f"stamp = {stamp:g}: the same as the message before"
            if stamp < before and before - stamp < self.jump:
                return f"stamp = {stamp:g}: older than the message before, {before:g}"
            change = (received - stamp) - self._offset
            if abs(change) > self.jump:
                self._jumped = (
                    f"stamp = {stamp:g}: its delay changed by {change:g} s (late, or a clock jumped)"
                )
                return self._jumped
        self._stamp, self._offset = stamp, received - stamp
        return ""

    def settle(self) -> None:
        """Note that the robot rests: after a jump, a stream may begin anew from here."""
        self._jumped = ""

    def age(self, now: float) -> float:
        """Seconds since the last message that was taken; infinite before the first."""
        return now - self._received

    def is_stale(self, now: float) -> bool:
        """Whether the stream has been silent for as long as the timeout, or the clock runs backwards."""
        return not 0.0 <= self.age(now) < self.timeout

    def second_source(self, now: float) -> bool:
        """Whether another sender was heard within the last second."""
        return now - self._other_heard < 1.0

    def forget(self) -> None:
        """Begin anew: the stream is stale until the next message."""
        self._received, self._stamp, self._source = -math.inf, None, None
