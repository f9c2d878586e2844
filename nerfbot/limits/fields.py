"""The table of every limit: its axis, its unit, which way is tighter, and what "lifted" means by default.

The specification's models, the limiters and the reports all walk this table; a new limit starts here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nerfbot.limits.channel import Channel

Tighter = Literal["less", "more"]


@dataclass(frozen=True)
class FieldInfo:
    """What is known about one limit, whatever its value.

    ``unit`` may contain ``{base}`` (m or rad) and ``{effort}`` (N or N·m), which the channel fills in.
    ``tighter`` is "less" where a smaller number impairs more (a velocity limit) and "more" where a larger
    one does (a latency). ``lifted`` is the default lifted value; None means it must be stated or
    come from the envelope's field ``envelope``. ``modes`` are the channel modes that can carry it.
    """

    axis: str
    unit: str
    tighter: Tighter
    lifted: float | None = None
    envelope: str | None = None
    modes: tuple[str, ...] = ("position", "velocity", "effort")
    most: float | None = None

    def unit_on(self, channel: Channel) -> str:
        """Unit of this limit on ``channel``, e.g. ``rad/s^2``."""
        return self.unit.format(base=channel.base_unit, effort=channel.effort_unit, unit=channel.unit)


_MOVING = ("position", "velocity")

CHANNEL_FIELDS: dict[str, FieldInfo] = {
    "effort": FieldInfo("strength", "{effort}", "less", envelope="max_effort"),
    "stall_effort": FieldInfo("strength", "{effort}", "less", envelope="max_effort"),
    "no_load_velocity": FieldInfo("strength", "{base}/s", "less"),
    "gain": FieldInfo("strength", "1", "less", lifted=1.0, modes=("velocity", "effort"), most=1.0),
    "velocity": FieldInfo("speed", "{base}/s", "less", envelope="max_velocity"),
    "acceleration": FieldInfo("speed", "{base}/s^2", "less", envelope="max_acceleration", modes=_MOVING),
    "deceleration": FieldInfo("speed", "{base}/s^2", "less", envelope="max_acceleration", modes=_MOVING),
    "jerk": FieldInfo("speed", "{base}/s^3", "less", modes=("velocity",)),
    "hold.rate": FieldInfo("reliability", "1/s", "more", lifted=0.0),
    "hold.duration": FieldInfo("reliability", "s", "more"),
    "intermittent.rate": FieldInfo("reliability", "1/s", "more", lifted=0.0),
    "intermittent.duration": FieldInfo("reliability", "s", "more"),
    "dead_band": FieldInfo("reliability", "{unit}", "more", lifted=0.0),
    "backlash": FieldInfo("reliability", "{unit}", "more", lifted=0.0),
    "quantum": FieldInfo("reliability", "{unit}", "more", lifted=0.0),
}

CHANNEL_BURSTS = {field: info for field, info in CHANNEL_FIELDS.items() if "." in field}
"""Limits of a channel that say when faults come; the others act on every command."""

COMMAND_FIELDS: dict[str, FieldInfo] = {
    "latency": FieldInfo("reliability", "s", "more", lifted=0.0, most=10.0),
    "jitter": FieldInfo("reliability", "s", "more", lifted=0.0, most=10.0),
    "drop.rate": FieldInfo("reliability", "1/s", "more", lifted=0.0),
    "drop.duration": FieldInfo("reliability", "s", "more"),
}

SENSOR_FIELDS: dict[str, FieldInfo] = {
    "range": FieldInfo("sensing", "m", "less"),
    "field_of_view": FieldInfo("sensing", "rad", "less"),
    "resolution": FieldInfo("sensing", "1", "less", lifted=1.0, most=1.0),
    "rate": FieldInfo("sensing", "Hz", "less"),
    "latency": FieldInfo("sensing", "s", "more", lifted=0.0, most=10.0),
    "noise": FieldInfo("sensing", "reading", "more", lifted=0.0),
    "bias": FieldInfo("sensing", "reading", "more", lifted=0.0),
    "drift": FieldInfo("sensing", "reading/s^0.5", "more", lifted=0.0),
    "dropout": FieldInfo("sensing", "1", "more", lifted=0.0, most=1.0),
    "frozen.rate": FieldInfo("sensing", "1/s", "more", lifted=0.0),
    "frozen.duration": FieldInfo("sensing", "s", "more"),
}
