"""What can go wrong between a user's files and the simulated robot; each message is one line."""

from __future__ import annotations

from nerfbot.errors import NerfbotError


class InvalidRobot(NerfbotError, ValueError):
    """A robot description or URDF that cannot be used; names the file, the field and the value."""


class UnknownChannel(InvalidRobot):
    """A channel or joint that the robot does not have; suggests the nearest one that it has."""


class InvalidEdit(NerfbotError, ValueError):
    """A world edit that this course does not allow; names the edit, the place and the reason."""
