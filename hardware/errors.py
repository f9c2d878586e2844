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


class BusError(NerfbotError):
    """The bus or a servo on it did not do what was asked; names port, ID or register."""


class PortError(BusError):
    """The port cannot be opened or has gone; names the port."""


class NoReply(BusError):
    """One or more servos did not answer in time; names port and IDs."""


class ServoRefused(BusError):
    """A servo answered with an error to an instruction; names ID, register and the error."""


class NotAcknowledged(BusError):
    """A safety register does not hold what was written to it; names ID, register, both values."""


class InvalidServo(NerfbotError, ValueError):
    """A servo or robot file, a calibration or a register value that cannot be used; names field and value."""
