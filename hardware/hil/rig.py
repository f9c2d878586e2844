"""A rig: emulated servos, a driver, a supervisor and a policy, each a process of its own.

The caller's process plays the policy in most trials (`command`); `ChildProcess` makes the others, by fork, so
that they start in milliseconds and can be killed, stopped and started anew.
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
from ..driver.joint_command import encode
from ..driver.service import PERMIT_SOCKET, PRIORITY, DriverClient, DriverConfig
from ..emulator.process import EmulatedBus, RunningBus, settle
from ..robot import ServoRobot
from ..safety.permit import PermitSource

SUPERVISOR, DESK = "supervisor", "desk"
"""Sockets: where the rig's supervisor is told what to say, and where a driver tells its latch."""

PERMIT_EVERY = 0.02
PERMIT_VALID = 0.1
"""How often the rig's supervisor speaks, and for how long its word holds, s."""


def supervise(folder: Path) -> None:
    """The rig's supervisor: a permit every `PERMIT_EVERY` s, as it is told over the socket `supervisor`."""
    priority.request(PRIORITY)
    box, source = Mailbox(folder / SUPERVISOR), PermitSource(PERMIT_VALID)
    told: dict[str, Any] = {}
    while True:
        for data, _, _ in box.read():
            told = json.loads(data)
        box.send(permit(source, **told), folder / PERMIT_SOCKET)
        time.sleep(PERMIT_EVERY)


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
    return source.next(by_axis, "estop: told" if estop else "", now=now, estop=estop, clear=clear).encode()


def pursue(folder: Path, source: str, names: Sequence[str], goal: Sequence[float], period: float) -> None:
    """A policy in a process of its own: the same ``goal`` (rad) in every period."""
    link = DriverClient(folder, source)
    sequence = 0
    while True:
        sequence += 1
        link.send(encode(sequence, source, dict(zip(names, goal, strict=True))))
        time.sleep(period)


class Rig:
    """See the module. ``port`` None means emulated servos; a context manager."""

    def __init__(
        self,
        robot: ServoRobot,
        spec: NerfSpec,
        folder: Path,
        emulated: RunningBus | None = None,
        port: str | None = None,
        margin: float = 0.004,
        seed: int = 0,
    ) -> None:
        self.robot, self.spec, self.folder, self.margin = robot, spec, folder, margin
        self._own = emulated is None and port is None
        if self._own:
            emulated = EmulatedBus(robot.name, folder=folder, seed=seed)
        self.emulated = emulated
        self.port = port or str(self.emulated.port if self.emulated else "")
        self.driver: ChildProcess | None = None
        self.supervisor: ChildProcess | None = None
        self.policy: ChildProcess | None = None
        self.link = DriverClient(folder, "rig")
        self._box = Mailbox(private_path(folder / SUPERVISOR))
        self.impostor = PermitSource(PERMIT_VALID)
        self.told: dict[str, Any] = {}
        self.sequence = 0
        self.starts = 0
        self.state: dict[str, Any] = {}

    # Processes

    def start_driver(self) -> None:
        """Start a driver; see `start_driver`."""
        setting = DriverConfig(
            self.robot, self.spec, self.port, self.folder, self.folder / "audit.jsonl", self.margin,
            supervisor=self.folder / DESK,
        )  # fmt: skip
        self.driver = start_driver(setting)

    def start_supervisor(self) -> None:
        """Fork a supervisor; one that starts anew is another source."""
        self.supervisor = ChildProcess(lambda: supervise(self.folder), self.folder / "supervisor-errors")
        settle(lambda: (self.folder / SUPERVISOR).exists(), START_TIMEOUT)
        settle(lambda: self.tell(**self.told), 1.0)

    def start_policy(self, goal: Sequence[float]) -> None:
        """Fork a policy that wants ``goal`` (rad)."""
        self.starts += 1
        source, names, period = f"policy-{self.starts}", self.robot.names, self.robot.period
        self.policy = ChildProcess(
            lambda: pursue(self.folder, source, names, goal, period), self.folder / "policy-errors"
        )

    @property
    def driver_alive(self) -> bool:
        """Whether the driver runs."""
        return self.driver is not None and self.driver.alive

    # Talk

    def tell(self, **told: Any) -> bool:
        """Tell the supervisor what its permits are to say from now on."""
        self.told = told
        return self._box.send(json.dumps(told).encode(), self.folder / SUPERVISOR)

    def impersonate(self) -> None:
        """Send a permit as a second supervisor would."""
        levels = {"speed": 1.0, "strength": 1.0}
        self._box.send(permit(self.impostor, levels), self.folder / PERMIT_SOCKET)

    def command(self, positions: Sequence[float], source: str = "rig") -> None:
        """Send a command as the policy, rad in the order of the joints."""
        self.sequence += 1
        names = self.robot.names
        self.link.send(encode(self.sequence, source, dict(zip(names, positions, strict=True))))

    def look(self, wait: float = 0.0) -> dict[str, Any]:
        """The driver's newest state; the last one known where no newer has come."""
        state = self.link.latest(wait)
        if state is not None:
            self.state = state
        return self.state

    def settle_running(self, seconds: float = 3.0) -> bool:
        """Ask for no motion, clearing what is latched, until the driver follows commands.

        A state from before the call tells nothing: it may be that of a driver that has been killed since.
        """
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            state = self.look(0.05)
            if not state or state["now"] < began:
                self.link.subscribe()
            else:
                self.command(state["position"])
                if state["phase"] == "run" and not state["reasons"]:
                    return True
                clear = state["latch"] if state["latched"] else None
                if clear is not None and self.told.get("clear") != clear:
                    self.tell(**{**self.told, "clear": clear})
        return False

    def follow(
        self, goal: Sequence[float], seconds: float, until: Callable[[Mapping[str, Any]], bool]
    ) -> bool:
        """Command ``goal`` in every period until ``until(state)``, at most ``seconds``; whether it came."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.command(goal)
            state = self.look(self.robot.period)
            if state and until(state):
                return True
        return False

    def close(self) -> None:
        """End every process."""
        for child in (self.policy, self.driver, self.supervisor):
            if child is not None:
                child.kill()
        self.link.close()
        self._box.close()
        if self._own and self.emulated is not None:
            self.emulated.close()

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
