"""The environments that Gymnasium makes by name. Importing `nerfbot` registers them."""

from __future__ import annotations

ENVIRONMENTS = {"nerfbot/Rover-v0": "nerfbot.sim.rover_env:RoverEnv"}
"""Entry points by id; what they need is imported when one is made."""


def register() -> None:
    """Make every environment known to Gymnasium; what is registered already stays as it is."""
    from gymnasium.envs import registration

    for name, entry_point in ENVIRONMENTS.items():
        if name not in registration.registry:
            registration.register(id=name, entry_point=entry_point)
