"""Dynamixel Protocol 2.0: packets, CRC-16, byte stuffing, bulk instructions.

Source: ROBOTIS e-manual, docs/en/dxl/protocol2 and docs/en/dxl/crc (polynomial 0x8005, start 0).
"""

from __future__ import annotations

from collections.abc import Mapping

from .protocol import BROADCAST, BULK_READ, BULK_WRITE, Packet, ServoProtocol

STATUS = 0x55
ALERT = 0x80
MAX_LENGTH = 1024

ERRORS = {
    1: "result fail",
    2: "instruction error",
    3: "CRC error",
    4: "data range error",
    5: "data length error",
    6: "data limit error",
    7: "access error",
}


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x8005 if value & 0x8000 else value << 1) & 0xFFFF
        table.append(value)
    return tuple(table)


_CRC = _crc_table()


def crc16(data: bytes) -> int:
    """CRC of a packet from its header up to the CRC itself."""
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFF) ^ _CRC[value >> 8 ^ byte]
    return value


class Dynamixel(ServoProtocol):
    """See `ServoProtocol`."""

    name = "dynamixel"
    header = b"\xff\xff\xfd\x00"
    prefix = 7
    overhead = 11
    width = 2

    def instruction(self, id: int, code: int, data: bytes = b"") -> bytes:
        """Header, ID, length, code, stuffed data, CRC."""
        body = (bytes((code,)) + data).replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
        packet = self.header + bytes((id,)) + self.numbers(len(body) + 2) + body
        return packet + self.numbers(crc16(packet))

    def status(self, id: int, error: int, data: bytes = b"") -> bytes:
        """Instruction 0x55, with the error byte before the data."""
        return self.instruction(id, STATUS, bytes((error,)) + data)

    def bulk_read(self, rows: Mapping[int, tuple[int, int]]) -> bytes:
        """Read a block of several servos each: ``rows`` is (address, length) by ID; they answer in order."""
        data = b"".join(bytes((id,)) + self.numbers(*row) for id, row in rows.items())
        return self.instruction(BROADCAST, BULK_READ, data)

    def bulk_write(self, rows: Mapping[int, tuple[int, bytes]]) -> bytes:
        """Write a block of several servos each: ``rows`` is (address, data) by ID; none answers."""
        data = b"".join(
            bytes((id,)) + self.numbers(address, len(row)) + row for id, (address, row) in rows.items()
        )
        return self.instruction(BROADCAST, BULK_WRITE, data)

    def alert(self, error: int) -> bool:
        """Bit 7: the Hardware Error Status register has a bit set."""
        return bool(error & ALERT)

    def refusal(self, error: int) -> str:
        """The error number's name, "" where it is 0."""
        number = error & ~ALERT
        return ERRORS.get(number, f"error {number}") if number else ""

    def _size(self, buffer: bytearray) -> int:
        length = buffer[5] | buffer[6] << 8
        return 0 if buffer[4] in (0xFF, 0xFD) or not 3 <= length <= MAX_LENGTH else length + 7

    def _decode(self, raw: bytes) -> Packet | None:
        if crc16(raw[:-2]) != raw[-2] | raw[-1] << 8:
            return None
        body = raw[7:-2].replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")
        if body[0] == STATUS and len(body) >= 2:
            return Packet(raw[4], body[1], body[2:], raw, True)
        return Packet(raw[4], body[0], body[1:], raw, False)
