"""How much of a node's time its senders can have: a flood must not wear out who can stop the robot."""

from __future__ import annotations

from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup


class Ration(MutuallyExclusiveCallbackGroup):
    """Lets its subscription be called at most `size` times until `renew`; with 0 never.

    The executor does not even wait for a subscription whose ration is used up: its messages lie in the
    middleware, which keeps the newest ones.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = self._left = size

    def renew(self) -> None:
        """Begin a new ration."""
        self._left = self._size

    def can_execute(self, entity: Any) -> bool:
        """Whether the executor may wait for it."""
        return self._left > 0 and bool(super().can_execute(entity))

    def beginning_execution(self, entity: Any) -> bool:
        """Spend one of the ration."""
        self._left -= 1
        return bool(super().beginning_execution(entity))


def newest(subscription: Any) -> Any:
    """The last message of a subscription of depth 1 that the executor does not serve; None for none new."""
    with subscription.handle:
        taken = subscription.handle.take_message(subscription.msg_type, False)
    return None if taken is None else taken[0]


def empty(subscription: Any, most: int) -> None:
    """Throw away what waits in a subscription's queue, at most so many messages."""
    with subscription.handle:
        for _ in range(most):
            if subscription.handle.take_message(subscription.msg_type, False) is None:
                return
