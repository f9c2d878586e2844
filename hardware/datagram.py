"""Unix datagram sockets: how processes of one machine talk without ROS, and before DDS is up.

A message is whole or absent, the kernel names the process that sent it, and nobody waits: neither a
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

LARGEST = 16384
"""Bytes of the largest message."""

AT_ONCE = 256
"""Messages read in one go: a flood must not keep a reader from its cycle."""

LONGEST_PATH = 107
"""Bytes of the longest path that a Unix socket can have (`sun_path`, unix(7))."""

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred


class Datagram(NamedTuple):
    """One message: its bytes, the process that sent it (as the kernel says), and where an answer goes."""

    data: bytes
    pid: int
    reply_to: str


class Mailbox:
    """A bound socket that reads without waiting; close it to remove the path.

    A path left by a process that has died is taken over; one that a living process reads is refused.
    Raises `InvalidSetup` for a path that is too long, in use, or cannot be made.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if len(os.fsencode(self.path)) > LONGEST_PATH:
            raise InvalidSetup(f"socket {self.path}: must be at most {LONGEST_PATH} bytes long")
        if is_read(self.path):
            raise InvalidSetup(f"socket {self.path}: another process reads it already")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        mask = os.umask(0o177)  # nobody but this user may write to it
        try:
            self.path.unlink(missing_ok=True)
            self._socket.bind(str(self.path))
        except OSError as error:
            self._socket.close()
            raise InvalidSetup(f"socket {self.path}: cannot be made: {error.strerror}") from None
        finally:
            os.umask(mask)

    def read(self) -> Iterator[Datagram]:
        """Yield what has arrived, oldest first, at most `AT_ONCE`; return when nothing is left."""
        for _ in range(AT_ONCE):
            try:
                data, extra, flags, sender = self._socket.recvmsg(
                    LARGEST, socket.CMSG_SPACE(_CREDENTIALS.size)
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
                data = b""  # a message that did not fit is none
            yield Datagram(data, pid, sender if isinstance(sender, str) else "")

    def discard(self) -> None:
        """Throw away what waits: of messages that waited nobody knows the age."""
        for _ in range(8):  # longer than any queue; a flood does not keep us here
            if not list(self.read()):
                return

    def send(self, data: bytes, path: str | Path) -> bool:
        """Send without waiting; false where nobody reads there, or the reader's queue is full."""
        try:
            return self._socket.sendto(data, str(path)) == len(data)
        except OSError:
            return False

    def wait(self, seconds: float) -> bool:
        """Wait until something can be read, for at most ``seconds`` s."""
        return bool(select.select([self._socket], [], [], max(seconds, 0.0))[0])

    def close(self) -> None:
        """Stop reading and remove the path; closing twice does nothing."""
        if self._socket.fileno() < 0:
            return
        self._socket.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def is_read(path: str | Path) -> bool:
    """Whether a living process reads the socket at ``path``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def private_path(beside: str | Path) -> Path:
    """A path for a short-lived socket beside another one."""
    return Path(beside).with_name(f"client.{os.getpid()}.{secrets.token_hex(4)}")
