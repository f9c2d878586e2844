"""A bus of servos: read, write, write and read back, many servos at once. The only code that talks to a port.

Every exchange first discards what lies in the input (a late answer must not land in the next read), checks ID
and length of each answer, and ends at a monotonic deadline. Only `write_eeprom` writes EEPROM, with torque
off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..errors import BusError, InvalidServo, NoReply, NotAcknowledged, ServoRefused
from .control_table import Register, ServoModel
from .dynamixel import Dynamixel
from .feetech import Feetech
from .port import Port
from .protocol import ACTION, BROADCAST, REBOOT, Packet, ServoProtocol

PROTOCOLS: dict[str, ServoProtocol] = {"feetech": Feetech(), "dynamixel": Dynamixel()}

MARGIN = 0.004
"""Time that an exchange with all servos takes beyond its bits, s: USB latency, return delay, scheduling."""

SINGLE_MARGIN = 0.03
"""The same for an exchange with one servo outside the cycle: set-up, and checked writes."""

SCAN_MARGIN = 0.006
TRIES = 3
LATE_TIME = 0.2
"""How long after an answer that did not come in time a packet of its servo is that answer, s."""

LATE_CURE = "set the adapter's latency timer to 1 ms (docs/hardware.md), or give more time with --margin"

QUIET_TIMEOUT = 1.0
"""How long `Bus.wait_until_quiet` waits, s."""

MAX_DISCARDED = 8
"""Reads in which the input is discarded before a request: a line that never rests must not hold the bus."""

_MODEL_NUMBER = {"feetech": (3, 2), "dynamixel": (0, 2)}  # address and length


class Reply(NamedTuple):
    """A servo's answer to a read: its error byte and the bytes."""

    error: int
    data: bytes


class Bus:
    """The servos ``servos`` (by ID) on ``port``; all speak the protocol called ``protocol``.

    ``margin``: see `MARGIN`. ``strays`` counts, by ID, packets that answer no request: a second servo with
    that ID sent them. ``late`` counts answers that came after their deadline.
    """

    def __init__(
        self,
        port: Port,
        protocol: str,
        servos: Mapping[int, ServoModel] | None = None,
        margin: float = MARGIN,
    ) -> None:
        if protocol not in PROTOCOLS:
            raise InvalidServo(f"protocol = {protocol!r}: must be one of {', '.join(PROTOCOLS)}")
        self.port, self.protocol = port, PROTOCOLS[protocol]
        self.servos = dict(servos or {})
        self.margin = margin
        self.strays: Counter[int] = Counter()
        self.late = 0
        self._late_until: dict[int, float] = {}
        self._buffer = bytearray()

    def close(self) -> None:
        """Close the port."""
        self.port.close()

    @property
    def stray_count(self) -> int:
        """Stray packets of all IDs."""
        return self.strays.total()

    # One servo

    def identify(self, id: int, tries: int = 1, margin: float = SINGLE_MARGIN) -> int | None:
        """The model number that servo ``id`` reports; None where no servo answers.

        It reads a register: the answer to a ping can look like the ping's echo on a Feetech bus.
        """
        address, length = _MODEL_NUMBER[self.protocol.name]
        try:
            return int.from_bytes(self.read_bytes(id, address, length, tries, margin), "little")
        except NoReply:
            return None

    def scan(self, ids: Iterable[int] = range(253)) -> dict[int, int]:
        """Model numbers of all servos that answer, by ID; an absent one costs `SCAN_MARGIN` s, twice."""
        numbers = {id: self.identify(id, 2, SCAN_MARGIN) for id in ids}
        return {id: number for id, number in numbers.items() if number is not None}

    def read_bytes(
        self, id: int, address: int, length: int, tries: int = TRIES, margin: float = SINGLE_MARGIN
    ) -> bytes:
        """Read ``length`` bytes; raises `NoReply` or `ServoRefused`."""
        packet = self.protocol.read(id, address, length)
        for _ in range(tries):
            replies = self._exchange(packet, {id: length}, max(self.margin, margin))
            if id in replies:
                self._check(id, f"read at {address}", replies[id].error)
                return replies[id].data
        raise NoReply(f"port {self.port.path}: servo {id} does not answer")

    def read(self, id: int, name: str) -> int:
        """Read one register, in counts."""
        return self._read(id, self.servos[id].register(name))

    def read_si(self, id: int, name: str) -> float:
        """Read one register, in the unit its table gives."""
        return self.read(id, name) * self.servos[id].register(name).scale

    def write(self, id: int, name: str, value: int) -> None:
        """Write a RAM register and wait for the servo's answer; raises `NoReply` or `ServoRefused`."""
        self._write(id, _ram_register(self.servos[id], name, f"servo {id}: "), value)

    def write_checked(self, id: int, name: str, value: int) -> None:
        """Write a RAM register and read it back, up to `TRIES` times, until it holds the value.

        Raises `NotAcknowledged` where it does not, `NoReply` where the servo is silent.
        """
        self._write_checked(id, _ram_register(self.servos[id], name, f"servo {id}: "), value)

    def write_eeprom(self, id: int, values: Mapping[str, int]) -> list[str]:
        """Write EEPROM registers of a servo whose torque is off, read them back, and lock EEPROM again.

        It leaves out values that are there already: EEPROM wears out. Returns the names it wrote. Raises
        `ServoRefused` where torque is on, `NotAcknowledged` where a register does not hold its value.
        """
        servo = self.servos[id]
        registers = {servo.register(name): value for name, value in values.items()}
        for register, value in registers.items():
            register.encode(value)  # refuse a value that does not fit before anything is written
        if self.read(id, "torque_enable"):
            raise ServoRefused(f"servo {id}: torque_enable = 1: EEPROM is written with torque off only")
        changed = {
            register: value for register, value in registers.items() if self._read(id, register) != value
        }
        if not changed:
            return []
        lock = servo.registers.get("lock")
        if lock is not None:
            self._write_checked(id, lock, 0)
        try:
            for register, value in changed.items():
                self._write_checked(id, register, value)
        finally:
            if lock is not None:
                self._write_checked(id, lock, 1)
        return [register.name for register in changed]

    def change_id(self, id: int, new: int) -> None:
        """Give the servo ``id`` the ID ``new``, torque off; raises `BusError` where another servo has it."""
        servo = self.servos[id]
        register = servo.register("id")
        data = register.encode(new)
        if self.identify(id, TRIES) is None:
            raise NoReply(f"port {self.port.path}: servo {id} does not answer")
        if self.identify(new, TRIES) is not None:
            raise BusError(f"port {self.port.path}: there is a servo {new} already")
        self._unlock(id)
        self.send(self.protocol.write(id, register.address, data))
        self.servos[new] = servo
        self.wait_until_quiet()
        if self.identify(new, TRIES) is None:
            raise NotAcknowledged(f"servo {id}: id = {new}: no servo answers to it")
        self._lock(new)
        del self.servos[id]

    def change_baud(self, id: int, baud: int) -> None:
        """Make servo ``id``, torque off, and this port speak at ``baud`` bit/s.

        Raises `InvalidServo` for a rate that its table does not have, `NoReply` where it does not answer
        before, `NotAcknowledged` where it does not answer after, at its new rate.
        """
        servo, register = self.servos[id], self.servos[id].register("baud_rate")
        codes = {rate: code for code, rate in servo.bauds.items()}
        if baud not in codes:
            known = ", ".join(map(str, sorted(codes)))
            raise InvalidServo(f"baud = {baud}: {servo.model} speaks {known}")
        if self.identify(id, TRIES) is None:
            raise NoReply(f"port {self.port.path}: servo {id} does not answer at {self.port.baud} bit/s")
        self._unlock(id)
        self.send(self.protocol.write(id, register.address, register.encode(codes[baud])))
        self.wait_until_quiet()
        self.port.set_baud(baud)
        if self.identify(id, TRIES) is None:
            raise NotAcknowledged(f"servo {id}: baud_rate = {codes[baud]}: no servo answers at {baud} bit/s")
        self._lock(id)

    def _unlock(self, id: int) -> None:
        """Torque off, and the EEPROM of a servo that has a lock open."""
        self.write_checked(id, "torque_enable", 0)
        if "lock" in self.servos[id].registers:
            self.write_checked(id, "lock", 0)

    def _lock(self, id: int) -> None:
        if "lock" in self.servos[id].registers:
            self.write_checked(id, "lock", 1)

    def reboot(self, id: int) -> None:
        """Restart a Dynamixel, which clears a latched hardware error and resets RAM to its initial values."""
        self._exchange(self.protocol.instruction(id, REBOOT), {id: 0})

    # Many servos

    def read_blocks(self, blocks: Mapping[int, tuple[int, int]]) -> dict[int, Reply]:
        """Read a block, (address, length), of each of several servos; servos that do not answer are missing.

        It is one exchange where all blocks are alike or the protocol has a bulk read.
        """
        lengths = {id: length for id, (_, length) in blocks.items()}
        if len(set(blocks.values())) == 1:
            address, length = next(iter(blocks.values()))
            return self._exchange(self.protocol.sync_read(address, length, list(blocks)), lengths)
        if isinstance(self.protocol, Dynamixel):
            return self._exchange(self.protocol.bulk_read(blocks), lengths)
        replies: dict[int, Reply] = {}
        for id, (address, length) in blocks.items():
            replies |= self._exchange(self.protocol.read(id, address, length), {id: length})
        return replies

    def write_blocks(self, blocks: Mapping[int, tuple[int, bytes]]) -> None:
        """Write a block, (address, data), of each of several servos; none answers, so read it back."""
        if not blocks:
            return
        shapes = {(address, len(data)) for address, data in blocks.values()}
        if len(shapes) > 1 and isinstance(self.protocol, Dynamixel):
            self.send(self.protocol.bulk_write(blocks))
            return
        for address, length in sorted(shapes):
            rows = {id: data for id, (at, data) in blocks.items() if (at, len(data)) == (address, length)}
            self.send(self.protocol.sync_write(address, rows))

    def block_of(self, id: int, values: Mapping[str, int]) -> tuple[int, bytes]:
        """Neighbouring registers with their values as one block; raises `InvalidServo` for a gap."""
        registers = sorted(
            (self.servos[id].register(name) for name in values), key=lambda register: register.address
        )
        data, start = b"", registers[0].address
        for register in registers:
            if register.address != start + len(data):
                raise InvalidServo(f"servo {id}: {register.name} does not follow at {start + len(data)}")
            data += register.encode(values[register.name])
        return start, data

    def broadcast(self, servo: ServoModel, name: str, value: int) -> None:
        """Write a RAM register of every servo of a model's family; none answers."""
        register = _ram_register(servo, name)
        self.send(self.protocol.write(BROADCAST, register.address, register.encode(value)))

    def send(self, packet: bytes) -> None:
        """Send a packet that no servo answers."""
        self.port.write(packet)

    def wait_until_quiet(self, seconds: float = 0.01) -> None:
        """Wait until no byte has come for ``seconds``, and discard what came before.

        Raises `BusError` where the line does not rest within `QUIET_TIMEOUT`.
        """
        until = self.port.clock() + QUIET_TIMEOUT
        while self.port.read(self.port.clock() + seconds):
            if self.port.clock() > until:
                raise BusError(
                    f"port {self.port.path}: is never quiet for {1000 * seconds:g} ms: another device sends"
                    " all the time, or the line is noisy (wrong port? wrong baud rate? ground not connected?)"
                )
        self._buffer.clear()

    def probe_echo(self) -> bool:
        """Whether the adapter returns what the bus sends (an ACTION to all, which starts nothing)."""
        packet = self.protocol.instruction(BROADCAST, ACTION)
        self._discard_input()
        self.send(packet)
        deadline = self.port.clock() + self._duration(len(packet), SINGLE_MARGIN)
        received = bytearray()
        while len(received) < len(packet) and (data := self.port.read(deadline)):
            received += data
        return bytes(received).startswith(packet)

    # The exchange

    def _exchange(
        self, packet: bytes, expected: Mapping[int, int], margin: float | None = None
    ) -> dict[int, Reply]:
        """Send ``packet`` and collect an answer of the expected data length from each expected ID."""
        self._discard_input()
        self.send(packet)
        size = sum(expected.values()) + len(expected) * self.protocol.overhead
        deadline = self.port.clock() + self._duration(len(packet) + size, margin or self.margin)
        replies: dict[int, Reply] = {}
        ambiguous: set[int] = set()  # IDs with two different answers: nobody knows which is true
        while len(replies) < len(expected):
            data = self.port.read(deadline)
            if not data:
                break
            self._buffer += data
            while (received := self.protocol.parse(self._buffer)) is not None:
                self._accept(received, packet, expected, replies, ambiguous)
            if self.port.clock() >= deadline:
                break  # what comes without a rest is no answer
        for id in ambiguous:
            del replies[id]
        for id in expected:
            if id not in replies:
                self._late_until[id] = self.port.clock() + LATE_TIME
        return replies

    def _accept(
        self,
        received: Packet,
        sent: bytes,
        expected: Mapping[int, int],
        replies: dict[int, Reply],
        ambiguous: set[int],
    ) -> None:
        if received.raw == sent or received.is_status is False:
            return  # the adapter's echo
        id, reply = received.id, Reply(received.code, received.data)
        length = expected.get(id)
        refused = bool(self.protocol.refusal(received.code))
        if id in replies and replies[id] != reply:
            ambiguous.add(id)
        if length is None or id in replies or (len(reply.data) != length and not refused):
            self._count_stray(id)
            return
        replies[id] = reply

    def _count_stray(self, id: int) -> None:
        """Count a packet that answers no request: a late one of a servo that owed one, else a stray."""
        if self.port.clock() < self._late_until.get(id, 0.0):
            self.late += 1
        else:
            self.strays[id] += 1

    def _discard_input(self) -> None:
        """Discard what lies in the input, and count the packets in it."""
        for _ in range(MAX_DISCARDED):
            data = self.port.read(0.0)
            if not data:
                break
            self._buffer += data
        while (packet := self.protocol.parse(self._buffer)) is not None:
            self._count_stray(packet.id)
        self._buffer.clear()

    def _duration(self, count: int, margin: float) -> float:
        return count * 10.0 / self.port.baud + margin

    # Registers

    def _read(self, id: int, register: Register) -> int:
        return register.decode(self.read_bytes(id, register.address, register.size))

    def _write(self, id: int, register: Register, value: int) -> None:
        packet = self.protocol.write(id, register.address, register.encode(value))
        for _ in range(TRIES):
            replies = self._exchange(packet, {id: 0}, max(self.margin, SINGLE_MARGIN))
            if id in replies:
                self._check(id, f"{register.name} = {value}", replies[id].error)
                return
        raise NoReply(f"port {self.port.path}: servo {id} does not answer to {register.name} = {value}")

    def _write_checked(self, id: int, register: Register, value: int) -> None:
        actual: int | None = None
        for _ in range(TRIES):
            try:
                self._write(id, register, value)
                actual = self._read(id, register)
            except NoReply:
                continue
            if actual == value:
                return
        if actual is None:
            raise NoReply(f"port {self.port.path}: servo {id} does not answer to {register.name} = {value}")
        raise NotAcknowledged(f"servo {id}: {register.name} = {value}: the servo holds {actual}")

    def _check(self, id: int, what: str, error: int) -> None:
        reason = self.protocol.refusal(error)
        if reason:
            raise ServoRefused(f"servo {id}: {what}: {reason}")


def _ram_register(servo: ServoModel, name: str, where: str = "") -> Register:
    register = servo.register(name)
    if register.area != "ram":
        raise InvalidServo(f"{where}{name} lies in EEPROM: only set-up writes it")
    return register
