"""Preparing a robot's bus: the right servos and no others, torque off, the envelope in EEPROM.

Nothing here switches torque on; only the driver does.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..bus.bus import LATE_CURE, MARGIN, Bus
from ..bus.control_table import models_numbered
from ..bus.port import Port
from ..errors import BusError, NoReply
from ..robot import ServoRobot
from .register_limits import envelope_registers

PROBES = 3
REVERSED = 1
"""Bit of a Dynamixel's Drive_Mode: the servo itself counts the other way round."""


class WrongServos(BusError):
    """The servos on the bus are not the robot's; names ID and model."""


def open_bus(robot: ServoRobot, port: str, margin: float = MARGIN) -> Bus:
    """Open ``port`` and check that exactly the robot's servos answer.

    Raises `PortError` for the port, `WrongServos` for a servo that is missing, of another model, or that
    shares its ID with another. It writes nothing.
    """
    bus = Bus(Port(port, robot.baud), robot.protocol, robot.servos, margin)
    try:
        bus.wait_until_quiet()
        check_servos(bus, robot)
    except BaseException:
        bus.close()
        raise
    return bus


def check_servos(bus: Bus, robot: ServoRobot) -> None:
    """Check that exactly the robot's servos answer; raises `WrongServos` as `open_bus` does."""
    numbers: dict[int, int | None] = {}
    before, late = bus.strays.copy(), bus.late
    for joint in robot.joints:
        answers = [bus.identify(joint.id, tries=2) for _ in range(PROBES)]
        numbers[joint.id] = next((number for number in answers if number is not None), None)
    bus.identify(robot.joints[0].id)  # which counts what a second servo has answered
    for joint in robot.joints:
        if bus.strays[joint.id] - before[joint.id] > 1:  # one may be a late answer
            raise WrongServos(f"servo {joint.id} ({joint.name}): two servos answer to this ID")
    missing = [joint for joint in robot.joints if numbers[joint.id] is None]
    if bus.late - late >= len(robot.joints):
        raise WrongServos(f"port {bus.port.path}: {bus.late - late} answers came too late: {LATE_CURE}")
    if len(missing) == len(robot.joints):
        raise WrongServos(
            f"port {bus.port.path}: no servo answers at baud = {robot.baud}: wrong port, wrong baud"
            f" rate, or no power (`nerfbot servo scan` tries them all)"
        )
    if missing:
        text = ", ".join(f"{joint.id} ({joint.name})" for joint in missing)
        raise WrongServos(f"port {bus.port.path}: servo {text} does not answer")
    for joint in robot.joints:
        number = numbers[joint.id]
        if number != joint.servo.number:
            name = model_name(bus, joint.id, number or 0)
            raise WrongServos(f"servo {joint.id} ({joint.name}): is {name}, the robot needs {joint.model}")


def model_name(bus: Bus, id: int, number: int) -> str:
    """The model of servo ``id``, which reports ``number``; variants are told apart by what they assume."""
    models = models_numbered(number)
    if len(models) > 1:
        registers = {name: model.registers[name] for model in models for name in model.assumes}
        values = {
            name: register.decode(bus.read_bytes(id, register.address, register.size))
            for name, register in registers.items()
        }
        models = [model for model in models if not model.broken_assumption(values)] or models
    return " or ".join(model.model for model in models) or f"of model number {number}"


def check_units(bus: Bus, robot: ServoRobot) -> None:
    """Read what changes the meaning of registers, and compare it with what the units of the tables assume.

    Raises `WrongServos` for a servo of another variant, firmware or set-up: by ID, register and value.
    """
    registers = envelope_registers(robot)
    for joint in robot.joints:
        values = {name: bus.read(joint.id, name) for name in joint.servo.assumes}
        problem = joint.servo.broken_assumption(values)
        if joint.servo.protocol == "dynamixel" and not problem:
            if "homing_offset" not in registers[joint.id]:
                problem = joint.ignored_offset(bus.read(joint.id, "homing_offset"))
            if "drive_mode" not in registers[joint.id] and values["drive_mode"] & REVERSED:
                problem = (
                    f"drive_mode = {values['drive_mode']}: it counts backwards, and no calibration says so"
                )
        if problem:
            raise WrongServos(f"servo {joint.id} ({joint.name}, {joint.model}): {problem}")


def torque_off(bus: Bus) -> None:
    """Switch every servo's torque off and read it back; raises `NoReply` where a servo does not confirm."""
    silent = []
    for id in bus.servos:
        try:
            bus.write_checked(id, "torque_enable", 0)
        except NoReply:
            silent.append(id)
    if silent:
        raise NoReply(f"servo {silent[0]}: does not confirm that its torque is off")


def set_up(bus: Bus, robot: ServoRobot) -> dict[int, list[str]]:
    """Torque off, then the envelope into EEPROM where it differs. Returns the written names, by ID.

    Raises `WrongServos` as `check_units` does, with nothing written.
    """
    registers = envelope_registers(robot)  # checks every value before anything is written
    check_units(bus, robot)
    torque_off(bus)
    return {id: bus.write_eeprom(id, values) for id, values in registers.items()}


def write_limits(bus: Bus, counts: Mapping[int, Mapping[str, int]]) -> dict[int, dict[str, int]]:
    """Write RAM limits, each read back; returns what the servos hold. Raises `NotAcknowledged`."""
    actual: dict[int, dict[str, int]] = {}
    for id, values in counts.items():
        for name, value in values.items():
            bus.write_checked(id, name, value)
        actual[id] = {name: bus.read(id, name) for name in values}
    return actual
