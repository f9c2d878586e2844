"""Unix datagram sockets: how the processes of one machine exchange messages without ROS.

A message arrives whole or not at all, the kernel names the process that sent it, and nobody waits: neither a
sender for a receiver that hangs, nor a receiver for a sender that died.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .errors import InvalidSetup

MAX_BYTES = 16384
"""Bytes of the largest message."""

MAX_MESSAGES = 256
"""Messages of one `Mailbox.read`: a flood must not delay the reader's cycle."""

MAX_PATH = 107
"""Bytes of the longest path of a Unix socket (`sun_path`, unix(7))."""

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred


class Datagram(NamedTuple):
    """One message: its bytes, the process that sent it (by the kernel), and the path for an answer."""

    data: bytes
    pid: int
    reply_to: str


class Mailbox:
    """A bound socket that reads without waiting; `close` removes its path.

    It replaces a path left by a process that has died and refuses one that a living process reads.
    Raises `InvalidSetup` for a path that is too long, in use, or cannot be made.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if len(os.fsencode(self.path)) > MAX_PATH:
            raise InvalidSetup(f"socket {self.path}: must be at most {MAX_PATH} bytes long")
        if has_reader(self.path):
            raise InvalidSetup(f"socket {self.path}: another process reads it already")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        mask = os.umask(0o177)  # only this user may write to it
        try:
            self.path.unlink(missing_ok=True)
            self._socket.bind(str(self.path))
        except OSError as error:
            self._socket.close()
            raise InvalidSetup(f"socket {self.path}: cannot be made: {error.strerror}") from None
        finally:
            os.umask(mask)

    def read(self) -> Iterator[Datagram]:
        """Yield the messages that have arrived, oldest first, at most `MAX_MESSAGES`."""
        for _ in range(MAX_MESSAGES):
            try:
                data, extra, flags, sender = self._socket.recvmsg(
                    MAX_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size)
                )
            except (BlockingIOError, InterruptedError):
                return
            pid = next(
                (
                    _CREDENTIALS.unpack(value[: _CREDENTIALS.size])[0]
                    for level, kind, value in extra
                    if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS)
                ),
                0,
            )
            if flags & socket.MSG_TRUNC:
                data = b""  # the message did not fit
            yield Datagram(data, pid, sender if isinstance(sender, str) else "")

    def discard(self) -> None:
        """Discard the messages that wait: their age is unknown."""
        for _ in range(8):  # more than any queue holds; a flood does not hold the caller
            if not list(self.read()):
                return

    def send(self, data: bytes, path: str | Path) -> bool:
        """Send without waiting; false where nobody reads at ``path`` or the reader's queue is full."""
        try:
            return self._socket.sendto(data, str(path)) == len(data)
        except OSError:
            return False

    def wait(self, seconds: float) -> bool:
        """Wait for a message, at most ``seconds`` s; returns whether there is one."""
        return bool(select.select([self._socket], [], [], max(seconds, 0.0))[0])

    def close(self) -> None:
        """Stop reading and remove the path; a second call does nothing."""
        if self._socket.fileno() < 0:
            return
        self._socket.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def has_reader(path: str | Path) -> bool:
    """Whether a living process reads the socket at ``path``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def private_path(beside: str | Path) -> Path:
    """A new path for a short-lived socket in the folder of ``beside``."""
    return Path(beside).with_name(f"client.{os.getpid()}.{secrets.token_hex(4)}")
