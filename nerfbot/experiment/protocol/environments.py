"""Gymnasium ids of the environments in which a policy learns on a robot in PyBullet. Loads no torch."""

from __future__ import annotations

from typing import Literal

Environment = Literal["nerfbot/Rover-v0", "nerfbot/Racecar-v0", "nerfbot/A1-v0", "nerfbot/RoverCells-v0"]

CELLS: Environment = "nerfbot/RoverCells-v0"
"""The one whose actions are whole moves."""
