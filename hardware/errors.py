"""The errors of hardware; each message is one line that names the field and the value."""

from __future__ import annotations

from nerfbot.errors import NerfbotError


class InvalidSetup(NerfbotError, ValueError):
    """A parameter, socket path or state folder with which a node must not start."""


class InvalidPermit(NerfbotError, ValueError):
    """A datagram that is not a permit; it grants nothing."""


class InvalidRequest(NerfbotError, ValueError):
    """A request that the supervisor does not understand; it changes nothing."""


class NoAnswer(NerfbotError):
    """A supervisor that does not answer; names its socket."""


class BusError(NerfbotError):
    """The bus or a servo on it did not carry out a request; names port, ID or register."""


class PortError(BusError):
    """The port cannot be opened or has gone; names the port."""


class NoReply(BusError):
    """One or more servos did not answer in time; names port and IDs."""


class ServoRefused(BusError):
    """A servo answered an instruction with an error; names ID, register and the error."""


class NotAcknowledged(BusError):
    """A register does not hold the value written to it; names ID, register and both values."""


class InvalidServo(NerfbotError, ValueError):
    """A servo or robot file, a calibration or a register value that is not usable; names field and value."""
