"""A tap between a driver and its real port, so that a campaign can disturb and evaluate real servos.

`python -m nerfbot.hardware.hil.tap --device /dev/ttyUSB0 --robot ROBOT.yaml --link PORT ...` opens the real
port, offers a pseudo terminal in its place, and passes whole packets on. It answers the same control socket
as the emulator and keeps the same log; where a joint is, how fast it is and whether it has torque is what it
last read of the servo. Faults of the line happen here; those of a servo cannot be made.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nerfbot.errors import NerfbotError

from ..bus.port import Port
from ..bus.protocol import BROADCAST, BULK_WRITE, SYNC_WRITE, Packet
from ..emulator.faults import ANSWER_FAULTS
from ..emulator.pty_server import PtyServer, serve
from ..errors import PortError
from ..robot import ServoRobot

DRIVER_TIMEOUT = 0.05
"""After so long without a packet the driver is gone, and the tap reads the servos itself, s."""

READ_TIMEOUT = 0.02
"""How long the tap waits for a servo's answer to its own read, s."""

LINE_FAULTS = (*ANSWER_FAULTS, "lost_sync_write")


class Tap(PtyServer):
    """The servos of ``robot`` on the real port ``device``, behind a pseudo terminal."""

    def __init__(self, robot: ServoRobot, device: str, link: Path, **options: Any) -> None:
        super().__init__(robot.protocol, link, robot.baud, **options)
        self.robot, self.servos = robot, robot.servos
        self.device = Port(device, robot.baud)
        self.known: dict[int, dict[str, int]] = {id: {} for id in self.servos}
        """The newest value of each register that was read or written, by servo."""
        self._requested: dict[int, tuple[int, int]] = {}
        self._sent: list[bytes] = []
        self._bus_input = bytearray()
        self._last_packet = self.clock()

    def extra_handles(self) -> list[int]:
        """The real port."""
        return [self.device.fileno()] if self.device.is_open else []

    def advance(self, now: float) -> None:
        """Open the real port again where it was lost."""
        if not self.device.is_open and self.device.try_reopen():
            self.plug()

    # From the driver

    def receive(self, data: bytes, now: float) -> None:
        """Pass the driver's packets on, and log what it writes."""
        if self.line.dead:
            return
        if self.line.echo:
            self._send(now, data)
        self._last_packet = now
        self._input += data
        while (packet := self.protocol.parse(self._input)) is not None:
            if packet.code in (SYNC_WRITE, BULK_WRITE) and self.line.loses("lost_sync_write", now):
                continue
            for id, address, block in self.protocol.written_blocks(packet):
                for servo in self.servos if id == BROADCAST else {id} & self.servos.keys():
                    self._write(servo, address, block, now)
            self._requested.update(
                {id: (address, length) for id, address, length in self.protocol.requested_blocks(packet)}
            )
            self._forward(packet.raw)

    def _forward(self, packet: bytes) -> None:
        self._sent = [*self._sent[-7:], packet]
        try:
            self.device.write(packet)
        except PortError:
            self.unplug()  # so that the driver sees it, too

    def _write(self, id: int, address: int, block: bytes, now: float) -> None:
        servo, known = self.servos[id], self.known[id]
        known.update(servo.decode_block(address, block))
        speed = known.get("present_velocity", 0) * servo.registers["present_velocity"].scale
        position, torque = known.get("present_position", 0), known.get("torque_enable", 0)
        self._note(now, "w", id, address, block.hex(), 0, position, round(speed, 4), torque)

    # From the servos

    def receive_extra(self, now: float) -> None:
        """Pass the servos' packets on, as changed by the faults of the line."""
        for packet in self._frames(now):
            for delay, piece in self.line.change(packet.id, packet.raw, now):
                if piece and not self.line.dead:
                    self._send(now + delay, piece)

    def _frames(self, deadline: float) -> Iterator[Packet]:
        """What has come from the bus by ``deadline`` (s), without the adapter's echo; kept in `known`."""
        try:
            self._bus_input += self.device.read(deadline)
        except PortError:
            self.unplug()
            return
        while (packet := self.protocol.parse(self._bus_input)) is not None:
            if packet.raw in self._sent and packet.is_status is not True:
                self._sent.remove(packet.raw)
                continue
            address, length = self._requested.get(packet.id, (0, 0))
            if packet.id in self.servos and len(packet.data) == length > 0:
                self.known[packet.id].update(self.servos[packet.id].decode_block(address, packet.data))
            yield packet

    # Control

    def apply_fault(self, name: str, id: int | None, value: float, now: float) -> bool:
        """Refuse faults that a real servo cannot have."""
        if name not in LINE_FAULTS:
            raise ValueError(f"{name}: cannot be made on a real servo")
        return False

    def states(self) -> list[dict[str, Any]]:
        """What is known of each servo; without a driver, the tap reads it first."""
        if self.clock() - self._last_packet > DRIVER_TIMEOUT:
            self._read_servos()
        states = []
        for joint in self.robot.joints:
            servo, known = joint.servo, self.known[joint.id]
            scale = servo.registers["present_velocity"].scale
            states.append(
                {
                    "id": joint.id,
                    "angle": known.get("present_position", joint.home) * servo.radians_per_count,
                    "velocity": known.get("present_velocity", 0) * scale,
                    "temperature": known.get("present_temperature", 0),
                    "torque": 0.0,
                    "values": {"torque_enable": 0, **known},
                }
            )
        return states

    def _read_servos(self) -> None:
        """Read the feedback and watch blocks of every servo."""
        for joint in self.robot.joints:
            servo = joint.servo
            for first, last in [servo.feedback, *([servo.watch] if servo.watch else [])]:
                address, length = servo.block(first, last)
                self._requested[joint.id] = (address, length)
                self._forward(self.protocol.read(joint.id, address, length))
                until = self.clock() + READ_TIMEOUT
                while self.clock() < until and not any(
                    packet.id == joint.id and len(packet.data) == length for packet in self._frames(until)
                ):
                    pass

    def close(self) -> None:
        """Close the real port, too."""
        super().close()
        self.device.close()


def main(arguments: list[str] | None = None) -> int:
    """Run a tap until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="A tap between a driver and real servos.")
    for name in ("device", "robot"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("link", "log", "control"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    for name in ("seed", "priority"):
        parser.add_argument(f"--{name}", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        robot = ServoRobot.load(options.robot)
        tap = Tap(
            robot, options.device, options.link, log=options.log, control=options.control, seed=options.seed
        )
    except NerfbotError as problem:
        print(f"tap: {problem}", file=sys.stderr)
        return 2
    serve(tap, options.priority)
    return 0


if __name__ == "__main__":
    sys.exit(main())
