"""The simulated robot behind a nerf as a plant to measure."""

from __future__ import annotations

import numpy as np

from nerfbot.sim.physics.client import CONTROL_STEP
from nerfbot.sim.plant.nerfed_plant import NerfedPlant

from .excitation import Floats, Trace


class SimProbe:
    """The simulated robot behind a nerf, on a course with room around its start."""

    period = CONTROL_STEP
    """The control period, s."""

    def __init__(self, nerf: str, course: str = "corner", robot: str = "rover", seed: int = 0) -> None:
        self._plant = NerfedPlant(course, nerf, robot, seed=seed, pictures=False)
        self._plant.reset(seed=seed)
        self.channels = self._plant.channels
        self.envelope = self._plant.limiter.envelope
        self._command = np.zeros(len(self.channels))
        for index, channel in enumerate(self.channels):
            if channel.mode == "position":
                self._command[index] = self._plant.plant.robot.measured().position[0, index]  # type: ignore[index]

    def play(self, channel: int, commands: Floats) -> Trace:
        """Play the commands; each reading is the state at the end of the period before."""
        rows = []
        is_position = self.channels[channel].mode == "position"
        for value in commands:
            self._command[channel] = value
            position, velocity, effort = (
                float(array[0, channel])  # type: ignore[index]
                for array in self._plant.plant.robot.measured()
            )
            rows.append((self._plant.time, value, position if is_position else velocity, velocity, effort))
            self._plant.step(self._command)
        return Trace(*np.array(rows, np.float64).T)

    def close(self) -> None:
        """Close the physics."""
        self._plant.close()
