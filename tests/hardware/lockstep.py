"""An emulated arm and its driver in one process on one virtual clock: nobody waits, and a run replays.

For what must not depend on how busy the machine is. Bytes, register maps, driver and guards are the real
ones; what is left out is the pseudo terminal, and that processes run side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nerfbot.hardware.bus.bus import MARGIN, Bus
from nerfbot.hardware.bus.port import Port
from nerfbot.hardware.driver.driver import ServoDriver
from nerfbot.hardware.driver.guards import COMMAND_TIMEOUT
from nerfbot.hardware.driver.joint_command import encode
from nerfbot.hardware.emulator.__main__ import build
from nerfbot.hardware.emulator.program import STEP, Emulator
from nerfbot.hardware.emulator.register_map import EmulatedServo
from nerfbot.hardware.errors import PortError
from nerfbot.hardware.robot import ServoRobot
from nerfbot.hardware.safety.permit import PermitSource
from nerfbot.limits import AXES, NerfSpec

PERMIT_VALID = 0.1


class LockstepPort(Port):
    """A port to ``emulator`` whose time goes on only while somebody waits; ``now`` in s."""

    def __init__(self, emulator: Emulator, baud: int) -> None:
        self.now = 0.0
        self.emulator = emulator
        super().__init__("lockstep", baud, lambda: self.now)

    def open(self) -> None:
        """Nothing is to be opened."""
        self._device = self.emulator

    def close(self) -> None:
        """Nothing is to be closed."""
        self._device = None

    def write(self, data: bytes) -> None:
        """Send ``data``."""
        if self._device is None:
            raise PortError("port lockstep: is closed")
        self.emulator.receive(data, self.now)

    def read(self, deadline: float) -> bytes:
        """Let time pass until an answer comes, or until ``deadline`` (s)."""
        self.wait(min(self.emulator.next_output, deadline))
        return self.emulator.pop_output(self.now)

    def wait(self, until: float) -> None:
        """Let time pass until ``until`` (s)."""
        while self.now < until:
            self.now = min(self.now + STEP, until)
            self.emulator.advance(self.now)


class LockstepArm:
    """``robot`` emulated, with its driver under ``spec``, as `ServoArm` has it.

    It starts at rest at ``start`` (rad by joint), a joint that is not named there at 0 rad, with changes of
    ``eeprom`` by ID and register, and on a ``supply`` (V) of the servos' own unless given; ``margin`` is the
    bus's. ``levels``: the lift that the permits give, by axis; ``stop``: why they are emergency stops, ""
    where they are none; ``clearing``: whether they clear the latch; ``permits`` and ``commands``: whether
    there are any. All may be set at any time. Raises what `Driver` does.
    """

    def __init__(
        self,
        robot: ServoRobot,
        spec: NerfSpec,
        start: Mapping[str, float] | None = None,
        eeprom: Mapping[int, Mapping[str, int]] | None = None,
        supply: float | None = None,
        margin: float = MARGIN,
    ) -> None:
        self.robot, self.channels = robot, robot.channels()
        self.emulator = build(robot, None, clock=lambda: 0.0)
        for joint, servo in zip(robot.joints, self.emulator.servos, strict=True):
            servo.eeprom |= (eeprom or {}).get(joint.id, {})
            servo.place(servo.angle_of(joint.counts((start or {}).get(joint.name, 0.0))), 0.0)
            servo.motor.supply = supply or servo.motor.supply
        self.port = LockstepPort(self.emulator, robot.baud)
        bus = Bus(self.port, robot.protocol, robot.servos, margin)
        self.driver = ServoDriver(robot, spec, bus, self.port.clock)
        self.driver.start()
        self.levels: tuple[float, ...] = (0.0,) * len(AXES)
        self.stop = ""
        self.clearing, self.permits, self.commands = False, True, True
        self._source = PermitSource(PERMIT_VALID)
        self._sequence = 0
        self.state: dict[str, Any] = {"position": [joint.position for joint in self.driver.joints]}
        self.actuate(self.state["position"])

    def actuate(self, value: Sequence[float]) -> None:
        """Command a position for every joint, (channels,) in rad; it holds until the next one."""
        self._goal = [float(item) for item in value]

    def read(self, wait: float = 0.5) -> dict[str, Any]:
        """Let one bus cycle pass; the driver's state after it."""
        now, driver = self.port.now, self.driver
        self._sequence += 1
        if self.permits:
            clear = driver.latch if self.clearing and driver.latched else None
            permit = self._source.next(self.levels, self.stop, now=now, estop=bool(self.stop), clear=clear)
            driver.permits.take(permit.encode(), 1, now)
        if self.commands:
            command = encode(self._sequence, "lockstep", dict(zip(self.robot.names, self._goal, strict=True)))
            driver.commands.receive(command, now, COMMAND_TIMEOUT)
        self.state = dict(vars(self.driver.cycle(now)))
        self.port.wait(max(self.port.now, now + self.robot.period))
        return self.state


def lame(servo: EmulatedServo) -> None:
    """Make the servo's motor push no more; `del servo._command` mends it."""
    command = servo._command
    servo._command = lambda: replace(command(), duty_limit=0.0)  # type: ignore[method-assign]
