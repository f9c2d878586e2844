"""Limits how many messages a node handles between two ticks, so that a flood leaves time for its timers."""

from __future__ import annotations

from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup


class CallbackBudget(MutuallyExclusiveCallbackGroup):
    """Lets its subscription be called at most `size` times until `renew`; with 0 never.

    The executor does not even wait for a subscription whose budget is spent: its messages stay in the
    middleware, which holds the newest ones.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = self._remaining = size

    def renew(self) -> None:
        """Restore the full budget."""
        self._remaining = self._size

    def can_execute(self, entity: Any) -> bool:
        """Whether the executor may wait for it."""
        return self._remaining > 0 and bool(super().can_execute(entity))

    def beginning_execution(self, entity: Any) -> bool:
        """Spend one call."""
        self._remaining -= 1
        return bool(super().beginning_execution(entity))


def take_newest(subscription: Any) -> Any:
    """The last message of a subscription of depth 1 that the executor does not serve; None for none new."""
    with subscription.handle:
        taken = subscription.handle.take_message(subscription.msg_type, False)
    return None if taken is None else taken[0]


def discard_queue(subscription: Any, at_most: int) -> None:
    """Discard the queued messages of a subscription, at most so many."""
    with subscription.handle:
        for _ in range(at_most):
            if subscription.handle.take_message(subscription.msg_type, False) is None:
                return
