"""The emulator as its own process on a real pseudo terminal, one a test."""

from __future__ import annotations

import pytest

from nerfbot.hardware.bus.bus import Bus
from nerfbot.hardware.bus.port import Port
from nerfbot.hardware.emulator.process import EmulatedBus
from nerfbot.hardware.robot import ServoRobot

MARGIN = 0.02
"""s; a machine that is busy with other tests lets the emulator wait."""


@pytest.fixture
def emulate(tmp_path_factory):
    """Start emulators: ``emulate("so101")`` or ``emulate(servos=["sts3215:1"])``."""
    started = []

    def start(robot="so101", servos=(), **options):
        emulated = EmulatedBus(robot, servos=servos, folder=tmp_path_factory.mktemp("bus"), **options)
        started.append(emulated)
        return emulated

    yield start
    for emulated in started:
        emulated.close()


@pytest.fixture
def connect():
    """Open a bus: ``connect(emulated, "so101")``."""
    opened = []

    def start(emulated, robot="so101", baud=None):
        description = ServoRobot.load(robot)
        port = Port(str(emulated.port), baud or description.baud)
        bus = Bus(port, description.protocol, description.servos, margin=MARGIN)
        opened.append(bus)
        return bus

    yield start
    for bus in opened:
        bus.close()
