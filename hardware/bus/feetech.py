"""Feetech's SCS protocol as STS and SMS servos speak it: packets and checksum.

Source: Feetech, "Communication Protocol Manual for Serial Bus Smart Servo" (FT-SCS): FF FF, ID, length,
instruction or error, parameters, checksum = ~(sum from ID on), low byte first.
"""

from __future__ import annotations

from .protocol import Packet, ServoProtocol

MAX_LENGTH = 250
"""Largest length byte of a packet (the maker's SDK has the same bound)."""


def checksum(body: bytes) -> int:
    """Checksum of everything between header and checksum."""
    return ~sum(body) & 0xFF


class Feetech(ServoProtocol):
    """See `ServoProtocol`. A status looks like an instruction: the bus drops the echo of its own packets."""

    name = "feetech"
    header = b"\xff\xff"
    prefix = 4
    overhead = 6
    width = 1

    def instruction(self, id: int, code: int, data: bytes = b"") -> bytes:
        """FF FF ID LEN CODE data CHECKSUM."""
        body = bytes((id, len(data) + 2, code)) + data
        return self.header + body + bytes((checksum(body),))

    def status(self, id: int, error: int, data: bytes = b"") -> bytes:
        """The same packet with the error byte in place of the instruction."""
        return self.instruction(id, error, data)

    def alert(self, error: int) -> bool:
        """Every bit of a Feetech error byte is a hardware fault."""
        return error != 0

    def refusal(self, error: int) -> str:
        """Always "": only reading back shows what a Feetech servo did not accept."""
        return ""

    def _size(self, buffer: bytearray) -> int:
        id, length = buffer[2], buffer[3]
        return 0 if id == 0xFF or not 2 <= length <= MAX_LENGTH else length + 4

    def _decode(self, raw: bytes) -> Packet | None:
        if checksum(raw[2:-1]) != raw[-1]:
            return None
        return Packet(raw[2], raw[4], raw[5:-1], raw)
