"""An arm on a servo bus in the shape of a simulated one: `channels`, `read`, `measured`, `actuate`.

The nerf runs here as everywhere (`ActuatorLimiter`); the driver process below bounds what comes out, and the
servo's registers bound the driver. Who talks to the bus is the driver alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfbot.errors import InvalidCommand
from nerfbot.limits import Channel, Measured

from ..errors import BusError
from ..robot import ServoRobot
from .joint_command import encode
from .service import StateListener

Floats = NDArray[np.float64]


class ServoArm:
    """The arm ``robot`` whose driver has its sockets in ``folder``.

    Positions in rad, velocities in rad/s, efforts in N·m, in the order of ``channels``. A context manager.
    Raises `BusError` where no driver answers.
    """

    def __init__(self, robot: ServoRobot, folder: Path, name: str = "") -> None:
        self.robot, self.channels = robot, robot.channels()
        self.source = name or f"arm-{os.getpid()}"
        self._link = StateListener(folder, self.source)
        self._sequence = 0
        self.state: dict[str, Any] = {}

    def actuate(
        self, value: Floats | Sequence[float], effort_limit: Floats | Sequence[float] | None = None
    ) -> None:
        """Send a position for every joint, (channels,) in rad.

        ``effort_limit`` is accepted for the simulated arm's sake and not sent: on a bus the registers carry
        it, from the same specification. Raises `InvalidCommand` for a wrong number of values, or one that
        is not finite: nothing is sent then, and a driver that hears nothing stops.
        """
        values = [float(item) for item in value]
        if len(values) != len(self.channels):
            raise InvalidCommand(
                f"actuate: {self.robot.name} has {len(self.channels)} channels, got {len(values)} values"
            )
        for channel, number in zip(self.channels, values, strict=True):
            if not np.isfinite(number):
                raise InvalidCommand(f"actuate: {channel.name} must be finite, got {number}")
        self._sequence += 1
        self._link.send(encode(self._sequence, self.source, dict(zip(self.robot.names, values, strict=True))))

    def read(self, wait: float = 0.5) -> dict[str, Any]:
        """Wait at most ``wait`` s for a newer state of the driver, and keep and return it.

        Raises `BusError` where none comes: the driver is not running.
        """
        if not self.state:
            self._link.listen()  # the driver tells its state to who has sent something
        state = self._link.latest(wait)
        if state is None:
            raise BusError(f"{self.robot.name}: the driver at {self._link.target} tells nothing")
        self.state = state
        return state

    def measured(self) -> Measured:
        """What the joints reported in the state read last: arrays (1, channels)."""
        fields = ("position", "velocity", "effort")
        return Measured(*(np.array([self.state[field]], np.float64) for field in fields))

    def channel(self, name: str) -> Channel:
        """The channel called ``name``."""
        return next(channel for channel in self.channels if channel.name == name)

    def hold(self, seconds: float) -> dict[str, Any]:
        """Ask for the measured position until the driver follows commands, at most ``seconds``."""
        until = time.monotonic() + seconds
        while True:
            state = self.read()
            self.actuate(state["position"])
            if state["phase"] == "run" or time.monotonic() > until:
                return state

    def close(self) -> None:
        """Close the client's socket; the driver goes on, hears nothing, and stops."""
        self._link.close()

    def __enter__(self) -> ServoArm:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
