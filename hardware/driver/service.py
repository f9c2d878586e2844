"""The driver as a process: port, two datagram sockets, a steady cycle, and an orderly end.

Sockets in ``folder``: `permit` (the supervisor's), `command` (the policy's; state goes back to its sender,
also to one that sends an empty datagram only to hear it). Started by `nerfbot servo drive`, or forked by the
HIL campaign.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nerfbot.limits import NerfSpec

from .. import priority
from ..bus.bus import MARGIN
from ..datagram import Mailbox, has_reader, private_path
from ..robot import ServoRobot
from .driver import Driver, Phase, as_json
from .guards import COMMAND_TIMEOUT, PAUSE
from .setup import open_bus

PERMIT, COMMAND = "permit", "command"

END_S = 1.0
"""How long an ending driver may take to bring the robot to rest, s."""

TELL_EVERY = 0.5
"""How often the supervisor is told of a latch that holds, s."""

PRIORITY = 20
"""Real-time priority of a driver, as of the gate: who must stop the robot runs before what commands it."""

_CLIENTS = 4


@dataclass(frozen=True)
class Setting:
    """What a driver process is started with; ``audit`` is the audit log's path, ``margin`` the bus's.

    ``supervisor``: its socket for requests, where the driver's own latch is told. ``priority``: real-time
    priority to ask for, 0 for none.
    """

    robot: ServoRobot
    spec: NerfSpec
    port: str
    folder: Path
    audit: Path | None = None
    margin: float = MARGIN
    allow: tuple[str, ...] = ()
    supervisor: Path | None = None
    priority: int = PRIORITY


class Service:
    """A driver with its sockets. `step` makes one cycle and sends the state; `close` ends it with torque off.

    Raises what `Driver` and `open_bus` do, torque off.
    """

    def __init__(self, setting: Setting, clock: Callable[[], float] = time.monotonic) -> None:
        self.setting, self.clock = setting, clock
        self._log = _log(setting.audit, clock)
        self.bus = open_bus(setting.robot, setting.port, setting.margin)
        try:
            self.driver = Driver(setting.robot, setting.spec, self.bus, clock, setting.allow, note=self.note)
            self.driver.start()
            self.permits = Mailbox(setting.folder / PERMIT)
            self.commands = Mailbox(setting.folder / COMMAND)
            self._own = Mailbox(private_path(setting.folder / COMMAND))
        except BaseException:
            self.bus.close()
            raise
        self._clients: list[str] = []
        self._past = clock()
        self._told: tuple[float, str] = (0.0, "")

    def step(self) -> None:
        """Take what has come, make a cycle, tell the state."""
        now = self.clock()
        if now - self._past > PAUSE * self.setting.robot.period:
            self.commands.discard()
        self._past = now
        for data, pid, _ in self.permits.read():
            self.driver.permits.take(data, pid, now)
        for data, _, sender in self.commands.read():
            if data:
                self.driver.commands.offer(data, now, COMMAND_TIMEOUT)
            if sender and sender not in self._clients:
                self._clients = [*self._clients[-_CLIENTS + 1 :], sender]
        report = self.driver.cycle(now)
        self._tell_supervisor(now)
        if self._clients:
            message = json.dumps(as_json(report)).encode()
            # A client that is slow loses a state; one that has gone is told no more
            self._clients = [
                path for path in self._clients if self.commands.send(message, path) or has_reader(path)
            ]

    def run(self, ended: Callable[[], bool]) -> None:
        """Cycle at the robot's rate until ``ended()``, then bring the robot to rest and let it down."""
        period = self.setting.robot.period
        due = self.clock()
        while not ended():
            self.step()
            due += period
            left = due - self.clock()
            if left > 0.0:
                time.sleep(left)
            elif left < -period:
                due = self.clock()

    def finish(self) -> None:
        """Stop, hold until at rest, let down, torque off: each a step of its own."""
        period, driver = self.setting.robot.period, self.driver
        driver.permits.withdraw()
        driver.commands.forget()
        driver.robot = driver.robot.model_copy(update={"hold_s": 0.0})
        until = self.clock() + END_S + driver.robot.release_s
        while driver.phase is not Phase.OFF and self.clock() < until:
            driver.cycle(self.clock())
            time.sleep(period)

    def close(self) -> None:
        """Close port and sockets."""
        self.permits.close()
        self.commands.close()
        self._own.close()
        self.bus.close()
        if self._log is not None:
            self._log.close()

    def _tell_supervisor(self, now: float) -> None:
        """Tell the latch when it changes, and again and again while it holds: a supervisor may start anew."""
        when, latched = self._told
        due = latched != self.driver.latched or (latched and now - when > TELL_EVERY)
        if self.setting.supervisor is not None and due:
            self._told = (now, self.driver.latched)
            told = {"kind": "latch", "number": self.driver.latch, "reason": self.driver.latched}
            self._own.discard()  # its answers
            self._own.send(json.dumps(told).encode(), self.setting.supervisor)

    def note(self, event: str, **details: Any) -> None:
        """Write to the audit log, where there is one."""
        if self._log is not None:
            self._log.append(event, self.clock(), **details)


def _log(path: Path | None, clock: Callable[[], float]) -> Any:
    if path is None:
        return None
    from nerfbot.powers import AuditLog, utc_now

    return AuditLog(path, repair=True, wall=utc_now)


def serve(setting: Setting, ready: Callable[[], None] = lambda: None) -> None:
    """Run a driver until SIGTERM or SIGINT; ``ready`` is called when it takes permits."""
    ended: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, _: ended.append(signum))
    refused = priority.request(setting.priority)
    service = Service(setting)
    if refused:
        service.note("no-real-time-priority", problem=refused)
    try:
        ready()
        service.run(lambda: bool(ended))
        service.finish()
    finally:
        service.close()


class StateListener:
    """A client's end: sends datagrams to the driver's command socket and takes its state.

    Raises `InvalidSetup` where another client has this ``name``.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.target = folder / COMMAND
        self._mailbox = Mailbox(folder / f"client-{name}")

    def send(self, data: bytes) -> bool:
        """Send a command; whether it was delivered."""
        return self._mailbox.send(data, self.target)

    def listen(self) -> bool:
        """Ask for the state without a command; whether there is a driver."""
        return self.send(b"")

    def latest(self, wait: float = 0.0) -> dict[str, Any] | None:
        """The newest state that has come, None where there is none within ``wait`` s."""
        self._mailbox.wait(wait)
        newest = [message.data for message in self._mailbox.read()][-1:]
        return dict(json.loads(newest[0])) if newest else None

    def close(self) -> None:
        """Close the socket and remove its file."""
        self._mailbox.close()
