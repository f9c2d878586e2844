"""The driver as a process: port, two datagram sockets, a steady cycle, and an end that lets the arm down.

Sockets in ``folder``: `permit` for the supervisor; `command` for policies. Who sends a command, or an empty
datagram, gets the driver's state after each cycle. `nerfbot servo drive` starts it, or `child` forks it.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nerfbot.declared import printable
from nerfbot.limits import NerfSpec

from .. import priority
from ..bus.bus import MARGIN, Bus
from ..datagram import Mailbox, has_reader, private_path
from ..robot import ServoRobot
from ..safety.permit import NERFED
from .driver import ServoDriver
from .guards import COMMAND_TIMEOUT, MAX_PERIODS
from .joint_command import encode
from .let_down import let_down
from .report import Phase
from .setup import open_bus

PERMIT_SOCKET, COMMAND_SOCKET = "permit", "command"

SHUTDOWN_TIME = 1.0
"""How long an ending driver may take to bring the robot to rest, s."""

LATCH_PERIOD = 0.5
"""How often the driver reports a latch to the supervisor, s."""

PRIORITY = 20
"""Real-time priority of driver and gate: what must stop the robot runs before what commands it."""

MAX_CLIENTS = 4

MAX_FAILURES = 5
"""After so many cycles that fail, an ending driver lets the arm down without them."""

ENDING = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGIO,
    signal.SIGXCPU,
)
"""Signals that would end, or stop, a process with the arm under torque: the driver lets it down instead.

SIGKILL and SIGSTOP cannot be handled, and a crash of the interpreter (SIGSEGV) must not be.
"""


@dataclass(frozen=True)
class DriverConfig:
    """How a driver process starts: ``audit`` is the audit log's path, ``margin`` the bus's.

    ``allow`` names limits that may go unenforced. ``supervisor``: its socket for requests, to which the
    driver reports its latch. ``priority``: real-time priority to request, 0 for none.
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


class DriverService:
    """A driver with its sockets: `step` makes one cycle and sends the state.

    ``bus``: one that is open already, instead of the port; ``sleep`` goes with ``clock``. Raises what
    `ServoDriver` and `open_bus` do, torque off.
    """

    def __init__(
        self,
        config: DriverConfig,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        bus: Bus | None = None,
    ) -> None:
        self.config, self.clock, self.sleep = config, clock, sleep
        self._audit = _audit_log(config.audit)
        self.bus = bus or open_bus(config.robot, config.port, config.margin)
        try:
            self.driver = ServoDriver(
                config.robot, config.spec, self.bus, clock, config.allow, log=self.log_event
            )
            self.driver.start()
            self.permits = Mailbox(config.folder / PERMIT_SOCKET)
            self.commands = Mailbox(config.folder / COMMAND_SOCKET)
            self._reports = Mailbox(private_path(config.folder / COMMAND_SOCKET))
        except BaseException:
            self.bus.close()
            raise
        self._clients: list[str] = []
        self._last_step = clock()
        self._reported_latch: tuple[float, str] = (0.0, "")

    def step(self) -> None:
        """Read permits and commands, make a cycle, send the state."""
        now = self.clock()
        if now - self._last_step > MAX_PERIODS * self.config.robot.period:
            self.commands.discard()
        self._last_step = now
        for data, pid, _ in self.permits.read():
            known = self.driver.permits.source
            self.driver.permits.take(data, pid, now)
            source = self.driver.permits.source
            if source is not None and source != known:
                self.log_event("permit-source", process=pid, program=program_of(pid), session=source[1])
        for data, _, sender in self.commands.read():
            if data:
                self.driver.commands.receive(data, now, COMMAND_TIMEOUT)
            if sender and sender not in self._clients:
                self._clients = [*self._clients[-MAX_CLIENTS + 1 :], sender]
        if self._audit is not None:
            self._audit.retry(now)
            self.driver.log_problem = self._audit.problem
        report = self.driver.cycle(now)
        self._report_latch(now)
        if self._clients:
            message = json.dumps(vars(report)).encode()
            # A slow client misses a state; one that has gone is dropped
            self._clients = [
                path for path in self._clients if self.commands.send(message, path) or has_reader(path)
            ]

    def run(self, done: Callable[[], bool]) -> None:
        """Cycle at the robot's rate until ``done()``."""
        period = self.config.robot.period
        due = self.clock()
        while not done():
            self.step()
            due += period
            remaining = due - self.clock()
            if remaining > 0.0:
                self.sleep(remaining)
            elif remaining < -period:
                due = self.clock()

    def finish(self) -> None:
        """Stop the robot, let it down, switch torque off; whatever fails, it goes on and raises nothing."""
        with contextlib.suppress(BaseException):
            self._finish_by_cycles()
        if self.driver.phase is Phase.OFF:
            return
        limits = self.driver.plan.counts_at(NERFED)
        left = let_down(self.bus, self.config.robot, limits, self.clock, self.sleep)
        if left:
            self.log_event("torque-unknown", joints=left)

    def _finish_by_cycles(self) -> None:
        driver, failures = self.driver, 0
        driver.permits.withdraw()
        driver.commands.forget()
        driver.hold_s = 0.0
        until = self.clock() + SHUTDOWN_TIME + driver.robot.release_s
        while driver.phase is not Phase.OFF and self.clock() < until and failures < MAX_FAILURES:
            try:
                driver.cycle(self.clock())
            except BaseException as problem:
                failures += 1
                self.log_event("cycle-failed", problem=f"{type(problem).__name__}: {problem}")
            self.sleep(driver.robot.period)

    def close(self) -> None:
        """Close port, sockets and log; says on standard error how many entries the log could not take."""
        for resource in (self.permits, self.commands, self._reports, self.bus, self._audit):
            if resource is not None:
                with contextlib.suppress(OSError):
                    resource.close()
        if self._audit is not None and self._audit.problem:
            with contextlib.suppress(OSError):
                print(f"{self._audit.waiting} events are not logged: {self._audit.problem}", file=sys.stderr)

    def _report_latch(self, now: float) -> None:
        """Report the latch when it changes, and again while it holds: a supervisor may have restarted."""
        reported_at, latched = self._reported_latch
        due = latched != self.driver.latched or (latched and now - reported_at > LATCH_PERIOD)
        if self.config.supervisor is not None and due:
            self._reported_latch = (now, self.driver.latched)
            request = {"kind": "latch", "number": self.driver.latch, "reason": self.driver.latched}
            self._reports.discard()  # answers to earlier reports
            self._reports.send(json.dumps(request).encode(), self.config.supervisor)

    def log_event(self, event: str, **details: Any) -> None:
        """Write to the audit log, where there is one."""
        if self._audit is not None:
            self._audit.append(event, self.clock(), **details)


def program_of(pid: int) -> str:
    """The command line of process ``pid``, at most 200 characters; "" where it has ended."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return ""
    return printable(" ".join(word.decode(errors="backslashreplace") for word in words))[:200]


def _audit_log(path: Path | None) -> Any:
    if path is None:
        return None
    from nerfbot.powers import PatientAuditLog, utc_now

    return PatientAuditLog(path, wall=utc_now)


def serve(config: DriverConfig, ready: Callable[[], None] = lambda: None) -> None:
    """Run a driver until one of `ENDING`; calls ``ready`` once it accepts permits.

    However it ends, by a signal or an exception, the arm is let down first.
    """
    signals: list[int] = []
    for number in ENDING:
        signal.signal(number, lambda signum, _: signals.append(signum))
    refused = priority.request(config.priority)
    service = DriverService(config)
    if refused:
        service.log_event("no-real-time-priority", problem=refused)
    run_to_end(service, lambda: bool(signals), ready)


def run_to_end(service: DriverService, done: Callable[[], bool], ready: Callable[[], None]) -> None:
    """Run ``service`` until ``done()`` or an exception, let the arm down, and close everything."""
    try:
        ready()
        service.run(done)
    finally:
        service.finish()
        service.close()


class DriverClient:
    """A client of the driver in ``folder``: sends commands and receives its state.

    Raises `InvalidSetup` where another client has this ``name``.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.target, self.name = folder / COMMAND_SOCKET, name
        self.sequence = 0
        """Number of the last command."""
        self._mailbox = Mailbox(folder / f"client-{name}")

    def send(self, data: bytes) -> bool:
        """Send a datagram; whether it was delivered."""
        return self._mailbox.send(data, self.target)

    def command(self, positions: Mapping[str, float], source: str | None = None) -> bool:
        """Send the next command, a position by joint in rad; whether it was delivered.

        ``source``: the client's name, unless given.
        """
        self.sequence += 1
        return self.send(encode(self.sequence, source or self.name, positions))

    def subscribe(self) -> bool:
        """Request the state without a command; whether there is a driver."""
        return self.send(b"")

    def latest(self, wait: float = 0.0) -> dict[str, Any] | None:
        """The newest state that has come, None where there is none within ``wait`` s."""
        self._mailbox.wait(wait)
        newest = [message.data for message in self._mailbox.read()][-1:]
        return dict(json.loads(newest[0])) if newest else None

    def close(self) -> None:
        """Close the socket and remove its file."""
        self._mailbox.close()
