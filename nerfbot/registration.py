"""The environments that Gymnasium makes by name. Importing `nerfbot` registers them."""

from __future__ import annotations

from typing import Any

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "nerfbot/Rover-v0": {"entry_point": "nerfbot.sim.envs.rover_env:RoverEnv"},
    "nerfbot/Racecar-v0": {
        "entry_point": "nerfbot.sim.envs.rover_env:RoverEnv",
        "kwargs": {"robot": "racecar", "nerf": "racecar-weak", "course": "chicane"},
    },
    "nerfbot/A1-v0": {
        "entry_point": "nerfbot.sim.envs.rover_env:RoverEnv",
        "kwargs": {"robot": "a1", "nerf": "a1-weak", "course": "dash"},
    },
    "nerfbot/RoverCells-v0": {"entry_point": "nerfbot.bridge.cells.cells_env:RoverCells"},
    "nerfbot/Grid-v0": {
        "entry_point": "nerfbot.grid.env:GridEnv",
        "vector_entry_point": "nerfbot.grid.vector_env:GridVectorEnv",
    },
}
"""Entry points by id, with keywords that differ from their defaults; what they need is imported when made."""


def register() -> None:
    """Make every environment known to Gymnasium; what is registered already stays as it is."""
    from gymnasium.envs import registration

    for name, entry_points in ENVIRONMENTS.items():
        if name not in registration.registry:
            registration.register(id=name, **entry_points)
