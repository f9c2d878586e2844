"""Dynamixel Protocol 2.0: frames, CRC-16, byte stuffing, resynchronisation.

Source: ROBOTIS e-manual, docs/en/dxl/protocol2 and docs/en/dxl/crc (polynomial 0x8005, start 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .protocol import BROADCAST, BULK_READ, BULK_WRITE, READ, REG_WRITE, SYNC_READ, SYNC_WRITE, WRITE, Frame

HEADER = b"\xff\xff\xfd\x00"
STATUS = 0x55
ALERT = 0x80
LONGEST = 1024

ERRORS = {
    1: "result fail",
    2: "instruction error",
    3: "CRC error",
    4: "data range error",
    5: "data length error",
    6: "data limit error",
    7: "access error",
}


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x8005 if value & 0x8000 else value << 1) & 0xFFFF
        table.append(value)
    return tuple(table)


_CRC = _table()


def crc16(data: bytes) -> int:
    """CRC of a frame from its header up to the CRC itself."""
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFF) ^ _CRC[value >> 8 ^ byte]
    return value


class Dynamixel:
    """See `Wire`."""

    name = "dynamixel"
    overhead = 11

    def instruction(self, id: int, code: int, data: bytes = b"") -> bytes:
        """Header, ID, length, code, stuffed data, CRC."""
        body = (bytes((code,)) + data).replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
        frame = HEADER + bytes((id,)) + (len(body) + 2).to_bytes(2, "little") + body
        return frame + crc16(frame).to_bytes(2, "little")

    def status(self, id: int, error: int, data: bytes = b"") -> bytes:
        """A status frame: instruction 0x55 and the error byte before the data."""
        return self.instruction(id, STATUS, bytes((error,)) + data)

    def take(self, buffer: bytearray) -> Frame | None:
        """See `Wire.take`."""
        while True:
            start = buffer.find(HEADER)
            if start < 0:
                keep = next((n for n in (3, 2, 1) if buffer.endswith(HEADER[:n])), 0)
                del buffer[: len(buffer) - keep]
                return None
            del buffer[:start]
            if len(buffer) < 7:
                return None
            length = buffer[5] | buffer[6] << 8
            if buffer[4] == 0xFF or buffer[4] == 0xFD or not 3 <= length <= LONGEST:
                del buffer[:1]
                continue
            end = length + 7
            if len(buffer) < end:
                return None
            raw = bytes(buffer[:end])
            if crc16(raw[:-2]) != raw[-2] | raw[-1] << 8:
                del buffer[:1]
                continue
            del buffer[:end]
            body = raw[7:-2].replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")
            if body[0] == STATUS and len(body) >= 2:
                return Frame(raw[4], body[1], body[2:], raw, True)
            return Frame(raw[4], body[0], body[1:], raw, False)

    def read(self, id: int, address: int, length: int) -> bytes:
        """See `Wire.read`."""
        return self.instruction(id, READ, _words(address, length))

    def write(self, id: int, address: int, data: bytes, later: bool = False) -> bytes:
        """See `Wire.write`."""
        return self.instruction(id, REG_WRITE if later else WRITE, _words(address) + data)

    def sync_read(self, address: int, length: int, ids: Sequence[int]) -> bytes:
        """See `Wire.sync_read`."""
        return self.instruction(BROADCAST, SYNC_READ, _words(address, length) + bytes(ids))

    def sync_write(self, address: int, rows: Mapping[int, bytes]) -> bytes:
        """See `Wire.sync_write`."""
        length = len(next(iter(rows.values())))
        data = b"".join(bytes((id,)) + row for id, row in rows.items())
        return self.instruction(BROADCAST, SYNC_WRITE, _words(address, length) + data)

    def bulk_read(self, rows: Mapping[int, tuple[int, int]]) -> bytes:
        """Ask several servos for a block each: ``rows`` is (address, length) by ID; they answer in order."""
        data = b"".join(bytes((id,)) + _words(*row) for id, row in rows.items())
        return self.instruction(BROADCAST, BULK_READ, data)

    def bulk_write(self, rows: Mapping[int, tuple[int, bytes]]) -> bytes:
        """Write a block of each of several servos: ``rows`` is (address, data) by ID; none answers."""
        data = b"".join(bytes((id,)) + _words(address, len(row)) + row for id, (address, row) in rows.items())
        return self.instruction(BROADCAST, BULK_WRITE, data)

    def alert(self, error: int) -> bool:
        """Bit 7: the Hardware Error Status register has a bit set."""
        return bool(error & ALERT)

    def refusal(self, error: int) -> str:
        """The error number's name, "" where it is 0."""
        number = error & ~ALERT
        return ERRORS.get(number, f"error {number}") if number else ""


def _words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(2, "little") for number in numbers)
