"""An arm on a servo bus with the interface of a simulated one: `channels`, `read`, `measured`, `actuate`.

It passes positions to the driver process, which bounds them by the envelope and writes the nerf's limits into
the servos' registers. No `ActuatorLimiter` runs here: the caller applies one for limits that no register
carries (as `teleoperation` does). Only the driver talks to the bus.
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
from .service import DriverClient

Floats = NDArray[np.float64]


class ServoArm:
    """The arm ``robot`` whose driver has its sockets in ``folder``.

    Positions in rad, velocities in rad/s, efforts in N·m, in the order of ``channels``. A context manager.
    Raises `BusError` where no driver answers.
    """

    def __init__(self, robot: ServoRobot, folder: Path, name: str = "") -> None:
        self.robot, self.channels = robot, robot.channels()
        self._client = DriverClient(folder, name or f"arm-{os.getpid()}")
        self.state: dict[str, Any] = {}

    def actuate(
        self, value: Floats | Sequence[float], effort_limit: Floats | Sequence[float] | None = None
    ) -> None:
        """Send a position for every joint, (channels,) in rad.

        ``effort_limit`` exists for the simulated arm and is not sent: on a bus the registers carry it, from
        the same specification. Raises `InvalidCommand` for a wrong number of values, or one that is not
        finite; it sends nothing then, and a driver without commands stops.
        """
        values = [float(item) for item in value]
        if len(values) != len(self.channels):
            raise InvalidCommand(
                f"actuate: {self.robot.name} has {len(self.channels)} channels, got {len(values)} values"
            )
        for channel, number in zip(self.channels, values, strict=True):
            if not np.isfinite(number):
                raise InvalidCommand(f"actuate: {channel.name} must be finite, got {number}")
        self._client.command(dict(zip(self.robot.names, values, strict=True)))

    def read(self, wait: float = 0.5) -> dict[str, Any]:
        """Wait at most ``wait`` s for a newer state of the driver; returns it, also as ``state``.

        Raises `BusError` where none comes: the driver is not running.
        """
        if not self.state:
            self._client.subscribe()  # the driver sends its state to clients that have sent a datagram
        state = self._client.latest(wait)
        if state is None:
            raise BusError(f"{self.robot.name}: the driver at {self._client.target} sends no state")
        self.state = state
        return state

    def measured(self) -> Measured:
        """What the joints reported in ``state``: arrays (1, channels)."""
        fields = ("position", "velocity", "effort")
        return Measured(*(np.array([self.state[field]], np.float64) for field in fields))

    def channel(self, name: str) -> Channel:
        """The channel called ``name``."""
        return next(channel for channel in self.channels if channel.name == name)

    def hold(self, seconds: float) -> dict[str, Any]:
        """Command the measured position until the driver follows commands, at most ``seconds``."""
        until = time.monotonic() + seconds
        while True:
            state = self.read()
            self.actuate(state["position"])
            if state["phase"] == "run" or time.monotonic() > until:
                return state

    def close(self) -> None:
        """Close the client's socket; the driver goes on without commands, and stops the arm."""
        self._client.close()

    def __enter__(self) -> ServoArm:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
