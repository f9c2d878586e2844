"""Preparing a robot's bus: the right servos and no others, torque off, the envelope in EEPROM.

Nothing here switches torque on; only the driver does.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..bus.bus import MARGIN, Bus
from ..bus.control_table import load_servo, servo_models
from ..bus.port import Port
from ..errors import BusError, NoReply
from ..robot import ServoRobot
from .register_limits import envelope_registers

PROBES = 3


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
    models = {load_servo(model).number: model for model in servo_models()}
    numbers: dict[int, int | None] = {}
    before = bus.strays.copy()
    for joint in robot.joints:
        answers = [bus.identify(joint.id, tries=2) for _ in range(PROBES)]
        numbers[joint.id] = next((number for number in answers if number is not None), None)
    bus.identify(robot.joints[0].id)  # which counts what a second servo has answered
    for joint in robot.joints:
        if bus.strays[joint.id] - before[joint.id] > 1:  # one may be a late answer
            raise WrongServos(f"servo {joint.id} ({joint.name}): two servos answer to this ID")
    missing = [joint for joint in robot.joints if numbers[joint.id] is None]
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
            name = models.get(number or 0, f"of model number {number}")
            raise WrongServos(f"servo {joint.id} ({joint.name}): is {name}, the robot needs {joint.model}")


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
    """Torque off, then the envelope into EEPROM where it differs. Returns the written names, by ID."""
    registers = envelope_registers(robot)  # checks every value before anything is written
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
