"""Walks a node through its lifecycle in every order, by the services that ROS 2 tools use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState

from tests.hardware.ros_world import Partner

CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE
SHUTDOWNS = {
    "unconfigured": Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
    "inactive": Transition.TRANSITION_INACTIVE_SHUTDOWN,
    "active": Transition.TRANSITION_ACTIVE_SHUTDOWN,
}
WAYS = {
    ("unconfigured", CONFIGURE): "inactive",
    ("inactive", ACTIVATE): "active",
    ("active", DEACTIVATE): "inactive",
    **{(state, number): "finalized" for state, number in SHUTDOWNS.items()},
}
"""The state after a transition; every other one is refused and changes nothing, cleanup too."""


def every_order(length: int) -> list[int]:
    """The transitions that can be repeated, in a row that contains every order of so many (de Bruijn)."""
    choices = (ACTIVATE, DEACTIVATE, CONFIGURE, CLEANUP)
    row = [CLEANUP] * (length - 1)  # "prefer one": from the last choice on, always the first that is new
    seen: set[tuple[int, ...]] = set()
    while new := [n for n in choices if (*row[len(row) - length + 1 :], n) not in seen]:
        row.append(new[0])
        seen.add(tuple(row[-length:]))
    assert len(seen) == len(choices) ** length
    return row


class Walker:
    """Asks the node `name` for transitions and follows its state by `WAYS`."""

    def __init__(self, partner: Partner, name: str) -> None:
        self.partner, self.name, self.expected = partner, name, ""
        self._change = partner.node.create_client(ChangeState, f"/{name}/change_state")
        self._get = partner.node.create_client(GetState, f"/{name}/get_state")
        partner.until(lambda: self._change.service_is_ready() and self._get.service_is_ready())
        self.expected = self.state()

    def state(self, each: Callable[[], None] = lambda: None) -> str:
        future = self._get.call_async(GetState.Request())
        self.partner.until(future.done, each)
        return str(future.result().current_state.label)

    def request(self, number: int) -> Any:
        """Request a transition; the future answer."""
        return self._change.call_async(ChangeState.Request(transition=Transition(id=number)))

    def change(self, number: int, each: Callable[[], None] = lambda: None) -> None:
        """Request a transition; whether it is done or refused must be by `WAYS`."""
        after = WAYS.get((self.expected, number), self.expected)
        future = self.request(number)
        self.partner.until(future.done, each)
        assert bool(future.result().success) == ((self.expected, number) in WAYS)
        self.expected = after
        assert self.state(each) == after

    def walk(self, length: int, each: Callable[[], None], check: Callable[[bool], None]) -> None:
        """Every order of `length` transitions, then the end; after each, `check` whether it is active."""
        for number in every_order(length):
            self.change(number, each)
            check(self.expected == "active")
        self.end(each)
        check(False)

    def end(self, each: Callable[[], None]) -> None:
        """Shut down: by the transition for the present state only, and for good."""
        if self.expected == "inactive":
            self.change(ACTIVATE, each)
        for state in ("unconfigured", "inactive", "active"):
            self.change(SHUTDOWNS[state], each)
        for number in (CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE, *SHUTDOWNS.values()):
            self.change(number, each)
