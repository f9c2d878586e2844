"""A rig: emulated servos, a driver, a supervisor and a policy, each in a process of its own.

The caller's process plays the policy in most trials (`command`). `ChildProcess` forks the others, so that
they start in milliseconds and can be killed, stopped and restarted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nerfbot.limits import AXES, NerfSpec

from .. import priority
from ..datagram import Mailbox, private_path
from ..driver.child import START_TIMEOUT, ChildProcess, start_driver
from ..driver.service import PERMIT_SOCKET, PRIORITY, DriverClient, DriverConfig
from ..emulator.process import BusProcess, EmulatedBus, wait_until
from ..robot import ServoRobot
from ..safety.permit import PermitSource

SUPERVISOR_SOCKET, REQUEST_SOCKET = "supervisor", "desk"
"""Sockets: of the supervisor, for the fields of its permits; and for a driver that reports its latch."""

PERMIT_PERIOD = 0.02
PERMIT_VALID = 0.1
"""How often the rig's supervisor sends a permit, and how long it holds, s."""


def supervise(folder: Path) -> None:
    """The rig's supervisor: a permit every `PERMIT_PERIOD` s, with the fields that `Rig.set_permit` sends."""
    priority.request(PRIORITY)
    mailbox, source = Mailbox(folder / SUPERVISOR_SOCKET), PermitSource(PERMIT_VALID)
    fields: dict[str, Any] = {}
    while True:
        for data, _, _ in mailbox.read():
            fields = json.loads(data)
        mailbox.send(permit(source, **fields), folder / PERMIT_SOCKET)
        time.sleep(PERMIT_PERIOD)


def permit(
    source: PermitSource,
    levels: Mapping[str, float] | None = None,
    estop: bool = False,
    clear: int | None = None,
    ahead: float = 0.0,
) -> bytes:
    """The next permit of ``source``, ``levels`` by axis; ``ahead``: how far its clock is ahead, s."""
    by_axis = tuple((levels or {}).get(axis, 0.0) for axis in AXES)
    now = time.monotonic() + ahead
    reason = "estop: requested" if estop else ""
    return source.next(by_axis, reason, now=now, estop=estop, clear=clear).encode()


def repeat_goal(
    folder: Path, source: str, names: Sequence[str], goal: Sequence[float], period: float
) -> None:
    """A policy in a process of its own: it commands the same ``goal`` (rad) in every period."""
    client = DriverClient(folder, source)
    while True:
        client.command(dict(zip(names, goal, strict=True)))
        time.sleep(period)


class Rig:
    """See the module. Without a ``bus`` and a ``port`` it starts emulated servos. A context manager."""

    def __init__(
        self,
        robot: ServoRobot,
        spec: NerfSpec,
        folder: Path,
        bus: BusProcess | None = None,
        port: str | None = None,
        margin: float = 0.004,
        seed: int = 0,
    ) -> None:
        self.robot, self.spec, self.folder, self.margin = robot, spec, folder, margin
        self._owns_bus = bus is None and port is None
        self.bus = EmulatedBus(robot.name, folder=folder, seed=seed) if self._owns_bus else bus
        self.port = port or str(self.bus.port if self.bus else "")
        self.driver: ChildProcess | None = None
        self.supervisor: ChildProcess | None = None
        self.policy: ChildProcess | None = None
        self.client = DriverClient(folder, "rig")
        self._mailbox = Mailbox(private_path(folder / SUPERVISOR_SOCKET))
        self.impostor = PermitSource(PERMIT_VALID)
        self.permit_fields: dict[str, Any] = {}
        self._policies = 0
        self.state: dict[str, Any] = {}

    # Processes

    def start_driver(self) -> None:
        """Start a driver; raises what `child.start_driver` does."""
        self.driver = start_driver(DriverConfig(
            self.robot, self.spec, self.port, self.folder, self.folder / "audit.jsonl", self.margin,
            supervisor=self.folder / REQUEST_SOCKET,
        ))  # fmt: skip

    def start_supervisor(self) -> None:
        """Fork a supervisor; its permits count as those of another source."""
        self.supervisor = ChildProcess(lambda: supervise(self.folder), self.folder / "supervisor-errors")
        wait_until(lambda: (self.folder / SUPERVISOR_SOCKET).exists(), START_TIMEOUT)
        wait_until(lambda: self.set_permit(**self.permit_fields), 1.0)

    def start_policy(self, goal: Sequence[float]) -> None:
        """Fork a policy that commands ``goal`` (rad)."""
        self._policies += 1
        source, robot = f"policy-{self._policies}", self.robot
        self.policy = ChildProcess(
            lambda: repeat_goal(self.folder, source, robot.names, goal, robot.period),
            self.folder / "policy-errors",
        )

    @property
    def driver_alive(self) -> bool:
        """Whether the driver runs."""
        return self.driver is not None and self.driver.alive

    # Messages

    def set_permit(self, **fields: Any) -> bool:
        """Set the fields of the supervisor's permits (see `permit`); whether it received them."""
        self.permit_fields = fields
        return self._mailbox.send(json.dumps(fields).encode(), self.folder / SUPERVISOR_SOCKET)

    def impersonate(self) -> None:
        """Send a permit as a second supervisor would."""
        levels = {"speed": 1.0, "strength": 1.0}
        self._mailbox.send(permit(self.impostor, levels), self.folder / PERMIT_SOCKET)

    def command(self, positions: Sequence[float], source: str = "rig") -> None:
        """Send a command as the policy, rad in the order of the joints."""
        self.client.command(dict(zip(self.robot.names, positions, strict=True)), source)

    def update(self, wait: float = 0.0) -> dict[str, Any]:
        """Wait at most ``wait`` s for a newer state of the driver; returns the newest, also as ``state``."""
        self.state = self.client.latest(wait) or self.state
        return self.state

    def wait_until_running(self, timeout: float = 3.0) -> bool:
        """Command no motion and clear the latch until the driver follows commands; whether it does.

        A state from before the call does not count: it may be that of a driver that has been killed since.
        """
        began = time.monotonic()
        while time.monotonic() < began + timeout:
            state = self.update(0.05)
            if not state or state["now"] < began:
                self.client.subscribe()
            else:
                self.command(state["position"])
                if state["phase"] == "run" and not state["reasons"]:
                    return True
                clear = state["latch"] if state["latched"] else None
                if clear is not None and self.permit_fields.get("clear") != clear:
                    self.set_permit(**{**self.permit_fields, "clear": clear})
        return False

    def follow(
        self, goal: Sequence[float], seconds: float, until: Callable[[Mapping[str, Any]], bool]
    ) -> bool:
        """Command ``goal`` in every period until ``until(state)``, at most ``seconds``; whether it came."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.command(goal)
            state = self.update(self.robot.period)
            if state and until(state):
                return True
        return False

    def close(self) -> None:
        """End every process."""
        for child in (self.policy, self.driver, self.supervisor):
            if child is not None:
                child.kill()
        self.client.close()
        self._mailbox.close()
        if self._owns_bus and self.bus is not None:
            self.bus.close()

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
