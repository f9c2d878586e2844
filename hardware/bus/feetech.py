"""Feetech's SCS protocol as STS and SMS servos speak it: frames, checksum, resynchronisation.

Source: Feetech, "Communication Protocol Manual for Serial Bus Smart Servo" (FT-SCS): FF FF, ID, length,
instruction or error, parameters, checksum = ~(sum from ID on), low byte first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .protocol import BROADCAST, READ, REG_WRITE, SYNC_READ, SYNC_WRITE, WRITE, Frame

HEADER = b"\xff\xff"
LONGEST = 250
"""Largest length byte that is taken for one (the maker's SDK has the same bound)."""


def checksum(body: bytes) -> int:
    """Checksum of everything between header and checksum."""
    return ~sum(body) & 0xFF


class Feetech:
    """See `Wire`. A status cannot be told from an instruction: the bus drops what it has sent itself."""

    name = "feetech"
    overhead = 6

    def instruction(self, id: int, code: int, data: bytes = b"") -> bytes:
        """FF FF ID LEN CODE data CHECKSUM."""
        body = bytes((id, len(data) + 2, code)) + data
        return HEADER + body + bytes((checksum(body),))

    def status(self, id: int, error: int, data: bytes = b"") -> bytes:
        """The same frame with the servo's status in place of the instruction."""
        return self.instruction(id, error, data)

    def take(self, buffer: bytearray) -> Frame | None:
        """See `Wire.take`."""
        while True:
            start = buffer.find(HEADER)
            if start < 0:
                del buffer[: len(buffer) - buffer.endswith(b"\xff")]
                return None
            del buffer[:start]
            if len(buffer) < 4:
                return None
            id, length = buffer[2], buffer[3]
            if id == 0xFF or not 2 <= length <= LONGEST:
                del buffer[:1]
                continue
            end = length + 4
            if len(buffer) < end:
                return None
            raw = bytes(buffer[:end])
            if checksum(raw[2:-1]) != raw[-1]:
                del buffer[:1]  # the header may have been noise, and a good frame may begin inside
                continue
            del buffer[:end]
            return Frame(id, raw[4], raw[5:-1], raw)

    def read(self, id: int, address: int, length: int) -> bytes:
        """See `Wire.read`."""
        return self.instruction(id, READ, bytes((address, length)))

    def write(self, id: int, address: int, data: bytes, later: bool = False) -> bytes:
        """See `Wire.write`."""
        return self.instruction(id, REG_WRITE if later else WRITE, bytes((address,)) + data)

    def sync_read(self, address: int, length: int, ids: Sequence[int]) -> bytes:
        """See `Wire.sync_read`."""
        return self.instruction(BROADCAST, SYNC_READ, bytes((address, length, *ids)))

    def sync_write(self, address: int, rows: Mapping[int, bytes]) -> bytes:
        """See `Wire.sync_write`."""
        length = len(next(iter(rows.values())))
        return self.instruction(
            BROADCAST,
            SYNC_WRITE,
            bytes((address, length)) + b"".join(bytes((id,)) + data for id, data in rows.items()),
        )

    def alert(self, error: int) -> bool:
        """Every bit of a Feetech status is a hardware fault."""
        return error != 0

    def refusal(self, error: int) -> str:
        """A Feetech servo never says so: what it did not take shows only when it is read back."""
        return ""
