"""What both servo protocols share: instruction codes, packets, and how a byte stream becomes packets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

BROADCAST = 0xFE

PING, READ, WRITE, REG_WRITE, ACTION, REBOOT = 0x01, 0x02, 0x03, 0x04, 0x05, 0x08
SYNC_READ, SYNC_WRITE, BULK_READ, BULK_WRITE = 0x82, 0x83, 0x92, 0x93


class Packet(NamedTuple):
    """One packet with a good checksum: ID, code, parameters, and its bytes as received.

    ``code`` is the instruction, or the error byte of a status. ``is_status`` tells the two apart where the
    protocol can (Feetech cannot: None).
    """

    id: int
    code: int
    data: bytes
    raw: bytes
    is_status: bool | None = None


class ServoProtocol(ABC):
    """Builds the packets of one protocol and finds them in a byte stream. It has no state.

    ``overhead``: bytes of a status packet besides its data. ``width``: bytes of an address or a length in an
    instruction. ``prefix``: bytes after which the length of a packet is known.
    """

    name: str
    header: bytes
    prefix: int
    overhead: int
    width: int

    @abstractmethod
    def instruction(self, id: int, code: int, data: bytes = b"") -> bytes:
        """A packet to servo ``id``."""

    @abstractmethod
    def status(self, id: int, error: int, data: bytes = b"") -> bytes:
        """The status packet with which a servo answers."""

    @abstractmethod
    def alert(self, error: int) -> bool:
        """Whether the error byte of a status reports a hardware fault."""

    @abstractmethod
    def refusal(self, error: int) -> str:
        """Why the servo did not carry out the instruction, by a status' error byte; "" where it did."""

    @abstractmethod
    def _size(self, buffer: bytearray) -> int:
        """Bytes of the packet at the start of ``buffer``; 0 where no packet can begin there."""

    @abstractmethod
    def _decode(self, raw: bytes) -> Packet | None:
        """The packet in ``raw``; None where its checksum is wrong."""

    def parse(self, buffer: bytearray) -> Packet | None:
        """Remove the next good packet from ``buffer`` and return it, skipping noise.

        None where there is no whole packet yet; what may be the start of one stays in ``buffer``.
        """
        while True:
            start = buffer.find(self.header)
            if start < 0:
                partial = range(len(self.header) - 1, 0, -1)
                tail = next((n for n in partial if buffer.endswith(self.header[:n])), 0)
                del buffer[: len(buffer) - tail]
                return None
            del buffer[:start]
            if len(buffer) < self.prefix:
                return None
            size = self._size(buffer)
            if len(buffer) < size:
                return None
            packet = self._decode(bytes(buffer[:size])) if size else None
            if packet is None:
                del buffer[:1]  # the header may have been noise, and a good packet may begin inside
                continue
            del buffer[:size]
            return packet

    def number(self, data: bytes, start: int) -> int:
        """The address or length at ``start`` in an instruction's parameters."""
        return int.from_bytes(data[start : start + self.width], "little")

    def written_blocks(self, packet: Packet) -> Iterator[tuple[int, int, bytes]]:
        """Servo (or `BROADCAST`), address and bytes of every block that an instruction writes at once."""
        number, width, data = self.number, self.width, packet.data
        if packet.code == WRITE:
            yield packet.id, number(data, 0), data[width:]
        elif packet.code == SYNC_WRITE:
            length = number(data, width)
            for at in range(2 * width, len(data), length + 1):
                yield data[at], number(data, 0), data[at + 1 : at + 1 + length]
        elif packet.code == BULK_WRITE:
            at = 0
            while at < len(data):
                length = number(data, at + 3)
                yield data[at], number(data, at + 1), data[at + 5 : at + 5 + length]
                at += 5 + length

    def requested_blocks(self, packet: Packet) -> Iterator[tuple[int, int, int]]:
        """Servo, address and length of every block that an instruction reads."""
        number, width, data = self.number, self.width, packet.data
        if packet.code == READ:
            yield packet.id, number(data, 0), number(data, width)
        elif packet.code == SYNC_READ:
            yield from ((id, number(data, 0), number(data, width)) for id in data[2 * width :])
        elif packet.code == BULK_READ:
            for at in range(0, len(data), 5):
                yield data[at], number(data, at + 1), number(data, at + 3)

    def numbers(self, *values: int) -> bytes:
        """Addresses and lengths as an instruction holds them."""
        return b"".join(value.to_bytes(self.width, "little") for value in values)

    def read(self, id: int, address: int, length: int) -> bytes:
        """Read ``length`` bytes from ``address``."""
        return self.instruction(id, READ, self.numbers(address, length))

    def write(self, id: int, address: int, data: bytes, later: bool = False) -> bytes:
        """Write ``data`` at ``address``, at once or (``later``) at the next ACTION."""
        return self.instruction(id, REG_WRITE if later else WRITE, self.numbers(address) + data)

    def sync_read(self, address: int, length: int, ids: Sequence[int]) -> bytes:
        """Read the same block of several servos, which answer in the order of ``ids``."""
        return self.instruction(BROADCAST, SYNC_READ, self.numbers(address, length) + bytes(ids))

    def sync_write(self, address: int, rows: Mapping[int, bytes]) -> bytes:
        """Write the same block of several servos: ``rows`` is data of one length by ID. None answers."""
        length = len(next(iter(rows.values())))
        data = b"".join(bytes((id,)) + row for id, row in rows.items())
        return self.instruction(BROADCAST, SYNC_WRITE, self.numbers(address, length) + data)
