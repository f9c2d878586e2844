"""A serial port for one owner: exclusive, never blocking for long, and able to reopen after an unplug.

All times are of a monotonic clock in seconds, so that a wall clock that jumps changes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nerfbot.errors import MissingDependency

from ..errors import PortError

_READ = 4096
WRITE_TIMEOUT = 0.02
"""Longest time a write may take, s; a full buffer means that nobody reads the bytes."""

BACK_OFF = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Times between attempts to reopen, s; the last one repeats."""


def _serial() -> Any:
    try:
        import serial
    except ImportError:
        raise MissingDependency(
            "a serial port needs pyserial: install the extra 'hardware' (pip install 'nerfbot[hardware]')"
        ) from None
    return serial


class Port:
    """An open serial port at ``path`` with ``baud`` bit/s, 8N1, exclusively (TIOCEXCL).

    The kernel then lets no other program open it but root's. Raises `PortError`: no such port, busy, open in
    another process before, no permission, or a baud rate that it cannot do.
    """

    def __init__(self, path: str, baud: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self.baud, self.clock = path, baud, clock
        self._device: Any = None
        self._fd = -1
        self._failures, self._next_try = 0, 0.0
        self.open()

    @property
    def is_open(self) -> bool:
        """Whether the port is open, as far as the last call knows."""
        return self._device is not None

    def fileno(self) -> int:
        """The open port's file descriptor, to wait for; -1 while it is closed."""
        return self._fd

    def open(self) -> None:
        """Open the port; raises what the class does."""
        serial = _serial()
        try:
            self._device = serial.Serial(
                self.path, self.baud, timeout=0, write_timeout=WRITE_TIMEOUT, exclusive=True
            )
        except (OSError, ValueError) as problem:
            raise PortError(f"port {self.path}: {_reason(problem, self.baud)}") from None
        self._fd = self._device.fileno()
        self._failures = 0
        others = other_holders(self.path)
        if others:
            self.close()
            raise PortError(f"port {self.path}: is open in {', '.join(others)}: end it first")
        fcntl.ioctl(self._fd, termios.TIOCEXCL)

    def set_baud(self, baud: int) -> None:
        """Go on at another baud rate; raises `PortError` where the port cannot do it."""
        try:
            self._device.baudrate = self.baud = baud
        except (OSError, ValueError) as problem:
            raise PortError(f"port {self.path}: {_reason(problem, baud)}") from None

    def close(self) -> None:
        """Close the port; a second call does nothing."""
        device, self._device, self._fd = self._device, None, -1
        if device is not None:
            with contextlib.suppress(OSError):  # the device has gone already
                fcntl.ioctl(device.fileno(), termios.TIOCNXCL)
                device.close()

    def try_reopen(self) -> bool:
        """Open a closed port again if the back-off time is over; returns whether it is open now."""
        if self.is_open:
            return True
        now = self.clock()
        if now < self._next_try:
            return False
        try:
            self.open()
        except PortError:
            self._next_try = now + BACK_OFF[min(self._failures, len(BACK_OFF) - 1)]
            self._failures += 1
            return False
        return True

    def write(self, data: bytes) -> None:
        """Send ``data``; raises `PortError` where the port has gone or accepts no bytes."""
        if self._device is None:
            raise PortError(f"port {self.path}: is closed")
        try:
            sent = os.write(self._fd, data)
            if sent != len(data):
                self._device.write(data[sent:])
        except OSError as problem:  # pyserial's exceptions are OSErrors too
            self._lost(problem)

    def read(self, deadline: float) -> bytes:
        """Wait until ``deadline`` (s) for bytes and return them; empty where none has come."""
        if self._device is None:
            raise PortError(f"port {self.path}: is closed")
        try:
            remaining = max(deadline - self.clock(), 0.0)
            if not select.select([self._fd], [], [], remaining)[0]:
                return b""
            data = os.read(self._fd, _READ)
        except OSError as problem:
            self._lost(problem)
        if not data:
            self._lost(OSError(errno.EIO, "the device has gone"))
        return data

    def _lost(self, problem: OSError) -> None:
        self.close()
        self._next_try = self.clock()
        raise PortError(f"port {self.path}: {_reason(problem, self.baud)}") from None


def other_holders(path: str) -> list[str]:
    """The other processes that have the terminal at ``path`` open, as "process 12 (name)".

    A program that opened it before keeps it in spite of TIOCEXCL. Those of other users show only to root. The
    master of a pseudo terminal does not count: it is the line's other end.
    """
    holders = []
    device = os.path.realpath(path)
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            opened = {os.readlink(fd) for fd in (process / "fd").iterdir()}
            if device in opened and not _is_master(process, device):
                holders.append(f"process {process.name} ({(process / 'comm').read_text().strip()})")
        except OSError:
            continue  # it has ended, or belongs to another user
    return holders


def _is_master(process: Path, device: str) -> bool:
    """Whether a process holds the other end of the pseudo terminal ``device`` (proc(5), fdinfo tty-index)."""
    index = f"tty-index:\t{device.rpartition('/')[2]}\n"
    infos = (info.read_text() for info in (process / "fdinfo").iterdir())
    return device.startswith("/dev/pts/") and any(index in info for info in infos)


def _reason(problem: Exception, baud: int) -> str:
    number = getattr(problem, "errno", None)
    text = str(problem)
    if number == errno.ENOENT:
        return "there is no such port"
    if number in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK) or "exclusively lock" in text:
        return "is busy: another program has it open exclusively"
    if number in (errno.EACCES, errno.EPERM):
        return "no permission to open it (the udev rule in docs/hardware.md gives it)"
    if isinstance(problem, ValueError):
        return f"baud = {baud}: the port cannot do it"
    if number == errno.ENOTTY or "Could not configure" in text:
        return "is not a serial port"
    return f"lost: {os.strerror(number) if number else text}"
