"""The stop in place of a gate that died: sent by the supervisor, for a bounded time, never beside a gate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nerfbot.limits import Channel, Envelope

from ..datagram import has_reader
from ..safety.rate_limit import RateLimiter
from ..safety.writer_lock import WriterLock
from .base_node import COMMAND_QOS, BaseNode
from .command_messages import CommandType

HOLD = 2.0
"""s for which rest is still commanded once it is reached: a robot finds a new publisher in 0.1 to 0.3 s.

Braking does not wait for that: what a robot hears first is as slow as if it had heard everything.
"""


class LastWriter:
    """Publishes the stop on `topic` of `node` while the gate that reads permits at `socket` is dead.

    A gate that has ended by itself has stopped the robot and removed its socket. One that was killed leaves
    the socket without a reader, and its `WriterLock` free. A gate that starts again binds the socket first
    and then waits for the lock; it gets it within one `period` (s), once the publisher here is gone.
    """

    def __init__(
        self,
        node: BaseNode,
        topic: str,
        kind: CommandType,
        channels: Sequence[Channel],
        envelope: Envelope,
        socket: str,
        period: float,
    ) -> None:
        self._node, self._topic, self._kind, self._channels = node, topic, kind, channels
        self._socket, self._lock = Path(socket), WriterLock(socket)
        self._limiter = RateLimiter(channels, envelope, period, tick=period)
        self._gate_seen, self._until = False, 0.0
        self._publisher: Any = None
        self.gate_died = False
        """Whether the gate has died and no other has started since."""

    @property
    def writes(self) -> bool:
        """Whether it is publishing."""
        return self._publisher is not None

    def update(self, executed: Sequence[float], now: float) -> None:
        """Look for the gate at `now` (s, steady), and send a step of the stop if it has died.

        `executed` (channels,) is what the gate sent last; empty where that is not known.
        """
        if has_reader(self._socket):
            self._gate_seen, self.gate_died = True, False
            self._end()
            return
        if self._gate_seen and self._socket.exists() and self._lock.take():
            self._gate_seen, self.gate_died = False, True
            self._publisher = self._node.create_publisher(
                self._kind.message_class(), self._topic, COMMAND_QOS
            )
            self._limiter.begin(executed or [0.0] * len(self._channels), now)
            self._until = now + HOLD
        if self._publisher is None:
            return
        values = self._limiter.stop(now)
        if any(values) and self._channels[0].mode == "velocity":
            self._until = now + HOLD
        self._send(values)
        if now >= self._until:
            self._end()

    def _send(self, values: Sequence[float]) -> None:
        message = self._kind.message_class()()
        self._kind.write(message, values, self._channels)
        if self._kind.stamped:
            message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def _end(self) -> None:
        if self._publisher is not None:
            self._node.destroy_publisher(self._publisher)
            self._publisher = None
            self._lock.release()
