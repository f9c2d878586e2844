"""The machine's hard limits as data. No lift reaches past them; `kernel` applies them last in every step."""

from __future__ import annotations

import hashlib
import json
from fnmatch import fnmatchcase

from pydantic import Field, model_validator

from nerfbot.declared import Declared
from nerfbot.errors import InvalidSpec
from nerfbot.limits.channel import Channel

REQUIRED = {
    "velocity": ("max_velocity", "max_acceleration", "stop_deceleration"),
    "position": ("min_position", "max_position", "max_velocity", "max_acceleration", "stop_deceleration"),
    "effort": ("max_effort",),
}

BOUNDS = {
    "velocity": (
        "min_velocity",
        "max_velocity",
        "min_position",
        "max_position",
        "max_acceleration",
        "max_effort",
    ),
    "position": ("min_position", "max_position", "max_velocity", "max_acceleration", "max_effort"),
    "effort": ("min_effort", "max_effort", "min_velocity", "max_velocity", "min_position", "max_position"),
}
"""The bounds that can be enforced on a channel of each mode."""


class ChannelEnvelope(Declared):
    """Hard limits of one channel, SI units; a missing or zero value never means "off".

    Which fields are required, and which bounds can be enforced, depends on the channel's mode (`REQUIRED`,
    `BOUNDS`). ``min_velocity`` and ``min_effort`` default to minus the maximum. ``stop_deceleration`` is what
    a stop uses and what no specification may go below; ``holding_effort`` is the effort that holds the load
    against gravity in its worst pose, which no nerf may go below; ``damping`` (effort per velocity) is what
    stops an effort channel.
    """

    min_position: float | None = None
    max_position: float | None = None
    min_velocity: float | None = Field(default=None, le=0)
    max_velocity: float | None = Field(default=None, gt=0)
    max_acceleration: float | None = Field(default=None, gt=0)
    stop_deceleration: float | None = Field(default=None, gt=0)
    min_effort: float | None = Field(default=None, le=0)
    max_effort: float | None = Field(default=None, gt=0)
    holding_effort: float | None = Field(default=None, ge=0)
    damping: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _check(self) -> ChannelEnvelope:
        if (
            self.min_position is not None
            and self.max_position is not None
            and self.min_position >= self.max_position
        ):
            raise ValueError(
                f"min_position {self.min_position} must be below max_position {self.max_position}"
            )
        return self

    def range(self, mode: str) -> tuple[float | None, float | None]:
        """Smallest and largest command of a channel in ``mode``."""
        if mode == "position":
            return self.min_position, self.max_position
        low, high = self.min_effort, self.max_effort
        if mode == "velocity":
            low, high = self.min_velocity, self.max_velocity
        return (-high if low is None and high is not None else low), high


def _is_known(quantity: str, channel: Channel) -> bool:
    """Whether the command of ``channel`` bounds ``quantity`` (position or velocity), or it is measured."""
    orders = ("position", "velocity", "effort")
    return orders.index(channel.mode) <= orders.index(quantity) or quantity in channel.measures


class Envelope(Declared):
    """Hard limits per channel; a key may be a pattern such as ``wheel_*`` (an exact name wins)."""

    channels: dict[str, ChannelEnvelope]

    def find(self, name: str) -> ChannelEnvelope | None:
        """Limits of the channel called ``name``, or None where the envelope does not cover it."""
        if name in self.channels:
            return self.channels[name]
        return next((limits for key, limits in self.channels.items() if fnmatchcase(name, key)), None)

    def channel(self, channel: Channel) -> ChannelEnvelope:
        """Limits of ``channel``, complete for its mode; raises `InvalidSpec` naming what is missing."""
        limits = self.find(channel.name)
        if limits is None:
            raise InvalidSpec(
                f"envelope.{channel.name}: is required, the envelope covers {list(self.channels)}"
            )
        for field in REQUIRED[channel.mode]:
            if getattr(limits, field) is None:
                raise InvalidSpec(
                    f"envelope.{channel.name}.{field}: is required for a {channel.mode} channel"
                )
        return limits

    def problems(self, channel: Channel) -> list[tuple[str, str]]:
        """The bounds stated for ``channel`` that it cannot enforce, each with the reason."""
        limits, found = self.channel(channel), []
        for field in sorted(limits.model_fields_set):
            bound, _, quantity = field.partition("_")
            if bound not in ("min", "max") or getattr(limits, field) is None:
                continue
            if field not in BOUNDS[channel.mode]:
                found.append((field, f"it bounds no {channel.mode} channel"))
            elif quantity in ("position", "velocity") and not _is_known(quantity, channel):
                found.append((field, f"the plant does not measure this channel's {quantity}"))
        return found

    def digest(self) -> str:
        """SHA-256 of the envelope's canonical JSON: what a log records and a gate compares at start."""
        text = json.dumps(self.model_dump(mode="json", exclude_none=True), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
