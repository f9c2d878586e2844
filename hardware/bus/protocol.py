"""What both servo protocols share: a frame, a status, and the shape of a protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

BROADCAST = 0xFE

PING, READ, WRITE, REG_WRITE, ACTION, REBOOT = 0x01, 0x02, 0x03, 0x04, 0x05, 0x08
SYNC_READ, SYNC_WRITE, BULK_READ, BULK_WRITE = 0x82, 0x83, 0x92, 0x93


class Frame(NamedTuple):
    """One frame with a good checksum: ID, the byte behind the length, parameters, and its bytes as received.

    ``code`` is the instruction, or in a status the error byte. ``status`` says which, where the protocol
    can tell (Feetech cannot: None).
    """

    id: int
    code: int
    data: bytes
    raw: bytes
    status: bool | None = None


class Wire(Protocol):
    """Builds and takes apart the frames of one protocol. Stateless; integers in, bytes out.

    ``overhead``: bytes of a status frame besides its data.
    """

    name: str
    overhead: int

    def instruction(self, id: int, code: int, data: bytes = b"") -> bytes:
        """A frame to servo ``id``."""

    def status(self, id: int, error: int, data: bytes = b"") -> bytes:
        """A servo's answer."""

    def take(self, buffer: bytearray) -> Frame | None:
        """Remove the next whole good frame from ``buffer`` and return it, skipping what is none.

        None where there is no whole frame yet; what may be the beginning of one is left in place.
        """

    def read(self, id: int, address: int, length: int) -> bytes:
        """Ask for ``length`` bytes from ``address``."""

    def write(self, id: int, address: int, data: bytes, later: bool = False) -> bytes:
        """Write ``data`` at ``address``, at once or (``later``) at the next ACTION."""

    def sync_read(self, address: int, length: int, ids: Sequence[int]) -> bytes:
        """Ask several servos for the same block; they answer in the order of ``ids``."""

    def sync_write(self, address: int, rows: Mapping[int, bytes]) -> bytes:
        """Write the same block of several servos, each with its own data of one length; none answers."""

    def alert(self, error: int) -> bool:
        """Whether a status' error byte says that the servo has a hardware fault."""

    def refusal(self, error: int) -> str:
        """Why a status' error byte says that the instruction was not carried out; "" where it was."""
