"""A bus of servos: ask, write, write and read back, many at once. The only code that talks to a port.

Every exchange first throws away what lies in the input (a late answer must not land in the next read),
checks ID and length of each answer, and ends by a monotonic deadline. EEPROM is written by `write_eeprom`
alone, with torque off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from ..errors import BusError, InvalidServo, NoReply, NotAcknowledged, ServoRefused
from .control_table import Register, Servo
from .dynamixel import Dynamixel
from .feetech import Feetech
from .port import Port
from .protocol import ACTION, BROADCAST, REBOOT, Frame, Wire

WIRES: dict[str, Wire] = {"feetech": Feetech(), "dynamixel": Dynamixel()}

MARGIN = 0.004
"""What an exchange of all servos may take longer than its bits, s: USB latency, return delay, scheduling."""

PATIENCE = 0.03
"""The same for an exchange with one servo, which is no part of a cycle: set-up, and checked writes."""

SCAN = 0.006
TRIES = 3
OWED = 3
"""So many answers of a servo may still be under way at most."""

_IDENTITY = {"feetech": (3, 2), "dynamixel": (0, 2)}  # where the model number lies


class Reply(NamedTuple):
    """A servo's answer to a read: its error byte and the bytes."""

    error: int
    data: bytes


class Bus:
    """The servos ``servos`` (by ID) on ``port``; all speak ``protocol``.

    ``margin``: see `MARGIN`. ``echo`` is found out by `probe_echo`: adapters that hear themselves return
    every byte that was sent. ``strays`` counts, by ID, frames
    that nobody asked for: a second servo with that ID; ``late`` those that came after their time.
    """

    def __init__(
        self, port: Port, protocol: str, servos: Mapping[int, Servo] | None = None, margin: float = MARGIN
    ) -> None:
        if protocol not in WIRES:
            raise InvalidServo(f"protocol = {protocol!r}: must be one of {', '.join(WIRES)}")
        self.port, self.protocol, self.wire = port, protocol, WIRES[protocol]
        self.servos = dict(servos or {})
        self.margin = margin
        self.strays: Counter[int] = Counter()
        self.late = 0
        self._owed: Counter[int] = Counter()
        self._buffer = bytearray()

    def close(self) -> None:
        """Close the port."""
        self.port.close()

    @property
    def stray(self) -> int:
        """How many stray frames there were of all IDs."""
        return self.strays.total()

    # One servo

    def identify(self, id: int, tries: int = 1, margin: float = PATIENCE) -> int | None:
        """The model number that servo ``id`` reports, None where nobody answers.

        Asked by a read: a ping's answer can look like the echo of the ping on a Feetech bus.
        """
        address, length = _IDENTITY[self.protocol]
        try:
            return int.from_bytes(self.read_bytes(id, address, length, tries, margin), "little")
        except NoReply:
            return None

    def scan(self, ids: Iterable[int] = range(253)) -> dict[int, int]:
        """Model numbers of all servos that answer, by ID; an absent one costs `SCAN` s, twice."""
        found = {id: self.identify(id, 2, SCAN) for id in ids}
        return {id: number for id, number in found.items() if number is not None}

    def read_bytes(
        self, id: int, address: int, length: int, tries: int = TRIES, margin: float = PATIENCE
    ) -> bytes:
        """Read ``length`` bytes; raises `NoReply` or `ServoRefused`."""
        frame = self.wire.read(id, address, length)
        for _ in range(tries):
            replies = self._exchange(frame, {id: length}, max(self.margin, margin))
            if id in replies:
                self._check(id, f"read at {address}", replies[id].error)
                return replies[id].data
        raise NoReply(f"port {self.port.path}: servo {id} does not answer")

    def read(self, id: int, name: str) -> int:
        """Read one register, in counts."""
        register = self.servos[id].register(name)
        return register.decode(self.read_bytes(id, register.address, register.size))

    def read_si(self, id: int, name: str) -> float:
        """Read one register, in the unit its table gives."""
        return self.read(id, name) * self.servos[id].register(name).scale

    def write(self, id: int, name: str, value: int) -> None:
        """Write a RAM register and wait for the servo's answer; raises `NoReply` or `ServoRefused`."""
        register = self.servos[id].register(name)
        if register.area != "ram":
            raise InvalidServo(f"servo {id}: {name} lies in EEPROM: only set-up writes it")
        self._write(id, register, value)

    def write_checked(self, id: int, name: str, value: int) -> None:
        """Write a RAM register, read it back, and again until it holds the value.

        Raises `NotAcknowledged` where it does not after `TRIES` times, `NoReply` where the servo is silent.
        """
        register = self.servos[id].register(name)
        if register.area != "ram":
            raise InvalidServo(f"servo {id}: {name} lies in EEPROM: only set-up writes it")
        self._write_checked(id, register, value)

    def write_eeprom(self, id: int, values: Mapping[str, int]) -> list[str]:
        """Write EEPROM registers of a servo whose torque is off, read them back, and lock it again.

        Values that are there already are not written: EEPROM wears out. Returns what was written. Raises
        `ServoRefused` where torque is on, `NotAcknowledged` where a register does not hold its value.
        """
        servo = self.servos[id]
        registers = {servo.register(name): value for name, value in values.items()}
        for register, value in registers.items():
            register.encode(value)  # nothing is written before everything is known to fit
        if self.read(id, "torque_enable"):
            raise ServoRefused(f"servo {id}: torque_enable = 1: EEPROM is written with torque off only")
        changed = {
            register: value for register, value in registers.items() if self._get(id, register) != value
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
        """Give the servo ``id`` the ID ``new``, torque off; raises `BusError` where one has it already."""
        servo = self.servos[id]
        register = servo.register("id")
        data = register.encode(new)
        if self.identify(id, TRIES) is None:
            raise NoReply(f"port {self.port.path}: servo {id} does not answer")
        if self.identify(new, TRIES) is not None:
            raise BusError(f"port {self.port.path}: there is a servo {new} already")
        self.write_checked(id, "torque_enable", 0)
        lock = servo.registers.get("lock")
        if lock is not None:
            self._write_checked(id, lock, 0)
        self.send(self.wire.write(id, register.address, data))
        self.servos[new] = servo
        self.settle()
        if self.identify(new, TRIES) is None:
            raise NotAcknowledged(f"servo {id}: id = {new}: no servo answers to it")
        if lock is not None:
            self._write_checked(new, lock, 1)
        del self.servos[id]

    def reboot(self, id: int) -> None:
        """Restart a Dynamixel: what clears a latched hardware error. RAM goes back to its initial values."""
        self._exchange(self.wire.instruction(id, REBOOT), {id: 0})

    def action(self) -> None:
        """Carry out what was written with REG_WRITE, on all servos at once."""
        self.send(self.wire.instruction(BROADCAST, ACTION))

    # Many servos

    def read_blocks(self, blocks: Mapping[int, tuple[int, int]]) -> dict[int, Reply]:
        """Read a block, (address, length), of each of several servos; who does not answer is missing.

        One exchange where all blocks are alike or the protocol has a bulk read.
        """
        if len(set(blocks.values())) == 1:
            address, length = next(iter(blocks.values()))
            frame = self.wire.sync_read(address, length, list(blocks))
            return self._exchange(frame, {id: length for id in blocks})
        if isinstance(self.wire, Dynamixel):
            frame = self.wire.bulk_read(blocks)
            return self._exchange(frame, {id: length for id, (_, length) in blocks.items()})
        found: dict[int, Reply] = {}
        for id, (address, length) in blocks.items():
            found |= self._exchange(self.wire.read(id, address, length), {id: length})
        return found

    def write_blocks(self, blocks: Mapping[int, tuple[int, bytes]]) -> None:
        """Write a block, (address, data), of each of several servos; nobody answers, so read it back."""
        if not blocks:
            return
        shapes = {(address, len(data)) for address, data in blocks.values()}
        if len(shapes) > 1 and isinstance(self.wire, Dynamixel):
            self.send(self.wire.bulk_write(blocks))
            return
        for address, length in sorted(shapes):
            rows = {id: data for id, (at, data) in blocks.items() if (at, len(data)) == (address, length)}
            self.send(self.wire.sync_write(address, rows))

    def block_of(self, id: int, values: Mapping[str, int]) -> tuple[int, bytes]:
        """Neighbouring registers with their values as one block; raises `InvalidServo` for a gap."""
        registers = sorted(
            (self.servos[id].register(name) for name in values), key=lambda register: register.address
        )
        data, at = b"", registers[0].address
        for register in registers:
            if register.address != at + len(data):
                raise InvalidServo(f"servo {id}: {register.name} does not follow at {at + len(data)}")
            data += register.encode(values[register.name])
        return at, data

    def broadcast(self, servo: Servo, name: str, value: int) -> None:
        """Write a RAM register of every servo of a model's family; nobody answers."""
        register = servo.register(name)
        if register.area != "ram":
            raise InvalidServo(f"{name} lies in EEPROM: only set-up writes it")
        self.send(self.wire.write(BROADCAST, register.address, register.encode(value)))

    def send(self, frame: bytes) -> None:
        """Send a frame that nobody answers."""
        self.port.write(frame)

    def settle(self, quiet: float = 0.01) -> None:
        """Wait until nothing has come for ``quiet`` s, and throw away what came: somebody else's answers."""
        while self.port.read(self.port.clock() + quiet):
            pass
        self._buffer.clear()

    def probe_echo(self) -> bool:
        """Whether the adapter returns what is sent (an ACTION to all, which nothing waits for)."""
        frame = self.wire.instruction(BROADCAST, ACTION)
        self._clear()
        self.send(frame)
        deadline = self.port.clock() + self._duration(len(frame), PATIENCE)
        heard = bytearray()
        while len(heard) < len(frame) and (data := self.port.read(deadline)):
            heard += data
        return bytes(heard).startswith(frame)

    # The exchange

    def _exchange(
        self, frame: bytes, expected: Mapping[int, int], margin: float | None = None
    ) -> dict[int, Reply]:
        """Send ``frame`` and collect an answer of the expected data length from each expected ID."""
        self._clear()
        self.send(frame)
        size = sum(expected.values()) + len(expected) * self.wire.overhead
        deadline = self.port.clock() + self._duration(len(frame) + size, margin or self.margin)
        found: dict[int, Reply] = {}
        torn: set[int] = set()  # who answered twice, and not the same: nobody knows which is true
        while len(found) < len(expected):
            data = self.port.read(deadline)
            if not data:
                break
            self._buffer += data
            while (got := self.wire.take(self._buffer)) is not None:
                self._sort(got, frame, expected, found, torn)
        for id in torn:
            del found[id]
        for id in expected:
            self._owed[id] = 0 if id in found else min(self._owed[id] + 1, OWED)
        return found

    def _sort(
        self, got: Frame, sent: bytes, expected: Mapping[int, int], found: dict[int, Reply], torn: set[int]
    ) -> None:
        if got.raw == sent or got.status is False:
            return  # the adapter's echo
        length = expected.get(got.id)
        refused = bool(self.wire.refusal(got.code))
        if got.id in found and found[got.id] != (got.code, got.data):
            torn.add(got.id)
        if length is None or got.id in found or (len(got.data) != length and not refused):
            self._unasked(got.id)
            return
        found[got.id] = Reply(got.code, got.data)

    def _unasked(self, id: int) -> None:
        """Note a frame that nobody waits for: late where its servo owes one, else a second servo's."""
        if self._owed[id] > 0:
            self._owed[id] -= 1
            self.late += 1
        else:
            self.strays[id] += 1

    def _clear(self) -> None:
        """Throw away what lies in the input, and count the frames in it."""
        while data := self.port.read(0.0):
            self._buffer += data
        while (frame := self.wire.take(self._buffer)) is not None:
            self._unasked(frame.id)
        self._buffer.clear()

    def _duration(self, count: int, margin: float) -> float:
        return count * 10.0 / self.port.baud + margin

    # Registers

    def _get(self, id: int, register: Register) -> int:
        return register.decode(self.read_bytes(id, register.address, register.size))

    def _write(self, id: int, register: Register, value: int) -> None:
        frame = self.wire.write(id, register.address, register.encode(value))
        for _ in range(TRIES):
            replies = self._exchange(frame, {id: 0}, max(self.margin, PATIENCE))
            if id in replies:
                self._check(id, f"{register.name} = {value}", replies[id].error)
                return
        raise NoReply(f"port {self.port.path}: servo {id} does not answer to {register.name} = {value}")

    def _write_checked(self, id: int, register: Register, value: int) -> None:
        held: int | None = None
        for _ in range(TRIES):
            try:
                self._write(id, register, value)
                held = self._get(id, register)
            except NoReply:
                continue
            if held == value:
                return
        if held is None:
            raise NoReply(f"port {self.port.path}: servo {id} does not answer to {register.name} = {value}")
        raise NotAcknowledged(f"servo {id}: {register.name} = {value}: the servo holds {held}")

    def _check(self, id: int, what: str, error: int) -> None:
        reason = self.wire.refusal(error)
        if reason:
            raise ServoRefused(f"servo {id}: {what}: {reason}")


def missing(asked: Collection[int], replies: Mapping[int, Reply]) -> Sequence[int]:
    """The IDs that did not answer."""
    return [id for id in asked if id not in replies]


__all__ = ["MARGIN", "WIRES", "Bus", "BusError", "Reply", "missing"]
