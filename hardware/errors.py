"""The errors of the hardware side; each is one line that names the field and the value received."""

from __future__ import annotations

from nerfbot.errors import NerfbotError


class InvalidSetup(NerfbotError, ValueError):
    """A parameter, socket path or state folder with which a node must not start."""


class InvalidPermit(NerfbotError, ValueError):
    """A datagram that is no permit; it grants nothing."""


class InvalidRequest(NerfbotError, ValueError):
    """A request to the supervisor that cannot be understood; nothing came of it."""


class NoAnswer(NerfbotError):
    """A supervisor that does not answer; says where it was looked for."""
