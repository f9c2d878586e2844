"""Parameters as data: their tables, the checks at start, and the envelope in ros2_control's spelling.

`linear.x.max_velocity` is a twist channel's limit, `joint_limits.<joint>.max_velocity` a joint's. In an
envelope a missing value, 0 or a `has_..._limits: false` never means "off": it is an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

from nerfbot.declared import suggestion
from nerfbot.errors import InvalidSpec
from nerfbot.limits import Channel, ChannelEnvelope, Envelope
from nerfbot.limits.channel import Mode

from ..errors import InvalidSetup
from .command_messages import COMMAND_TYPES, PERIOD, TWIST_PARTS, command_type


class Parameter(NamedTuple):
    """One parameter: its default (which gives its type), unit ("" for none), what it is, and its range."""

    name: str
    default: Any
    unit: str
    about: str
    low: float = -math.inf
    high: float = math.inf
    above_low: bool = False


COMMON: tuple[Parameter, ...] = (
    Parameter("autostart", True, "", "configure and activate at start, without a lifecycle manager"),
    Parameter("command_type", "twist_stamped", "", f"one of {', '.join(COMMAND_TYPES)}"),
    Parameter("channels", ["linear.x", "angular.z"], "", "what is commanded, in this order"),
    Parameter("command_mode", "velocity", "", "what a joint's command means: position, velocity or effort"),
    Parameter("cmd_vel_timeout", 0.1, "s", "a command older than this is stale", 0.0, 2.0, True),
    Parameter("stamp_jump", 0.5, "s", "how far a stamp's delay may jump", 0.0, 10.0, True),
    Parameter("control_period", PERIOD, "s", "nominal time between commands", 0.001, 1.0),
    Parameter("timer_rate", 50.0, "Hz", "how often ages are checked", 5.0, 1000.0),
    Parameter("limiter_clock", "steady", "", "steady, or stamp: simulated time, with use_sim_time only"),
    Parameter("permit_socket", "", "", "path of the socket that receives permits; the bring-up sets it"),
    Parameter("supervisor_socket", "", "", "where faults are reported; empty: nowhere"),
    Parameter("envelope_digest", "", "", "SHA-256 that the envelope must have; empty: any"),
    Parameter("priority", 0, "", "requested real-time priority (SCHED_RR); 0: none", 0, 99),
    Parameter("use_odometry", True, "", "measure twist channels by the topic odom"),
)
"""Parameters that the nodes of the command chain share."""

COMMANDS = ("command_type", "channels", "command_mode", "use_odometry")
"""The common parameters that describe commands; `channels_of` reads them."""

LIMIT_FIELDS = {
    "min_position": "min_position",
    "max_position": "max_position",
    "min_velocity": "min_velocity",
    "max_velocity": "max_velocity",
    "max_acceleration": "max_acceleration",
    "max_deceleration": "stop_deceleration",
    "min_effort": "min_effort",
    "max_effort": "max_effort",
    "holding_effort": "holding_effort",
    "damping": "damping",
}
"""The envelope's field by ros2_control's name of the limit; the last two names are this project's own."""

_SWITCHES = {
    "has_position_limits": "max_position",
    "has_velocity_limits": "max_velocity",
    "has_acceleration_limits": "max_acceleration",
    "has_deceleration_limits": "max_deceleration",
    "has_effort_limits": "max_effort",
}
_UNITS = {"position": "rad", "velocity": "rad/s", "effort": "N·m"}


def prefix(channel: str) -> str:
    """The prefix of a channel's limits: `linear.x`, or `joint_limits.<joint>`."""
    return channel if channel in TWIST_PARTS else f"joint_limits.{channel}"


def limit_parameters(channels: Sequence[str]) -> list[Parameter]:
    """The parameters of these channels' limits; their defaults are None."""
    table = []
    for channel in channels:
        place = prefix(channel)
        table += [Parameter(f"{place}.{name}", None, "", "") for name in LIMIT_FIELDS]
        table += [Parameter(f"{place}.{name}", True, "", "") for name in _SWITCHES]
        table.append(Parameter(f"{place}.has_jerk_limits", False, "", ""))
    return table


def shared_names(channels: Sequence[str] | None) -> set[str]:
    """Names that a parameter file for the whole chain may hold: a node ignores those of the other nodes.

    Limits are those of these `channels`, or of the default ones.
    """
    defaults = {item.name: item.default for item in COMMON}
    channels = defaults["channels"] if channels is None else channels
    return {item.name for item in (*COMMON, *limit_parameters(channels))}


def channels_of(values: Mapping[str, Any]) -> tuple[Channel, ...]:
    """The channels that the parameters describe.

    Raises `InvalidSetup` for an unknown mode or command type, a name given twice, or no part of a twist.
    """
    command_type(values)
    kind, mode, names = values["command_type"], values["command_mode"], list(values["channels"])
    if not names or len(set(names)) != len(names) or "" in names:
        raise InvalidSetup(f"channels: must be names, each once, got {names}")
    limited = bool(values.get("effort_limit", False))
    if kind in ("twist", "twist_stamped"):
        for name in names:
            if name not in TWIST_PARTS:
                raise InvalidSetup(f"channels: {name!r} is no part of a twist{suggestion(name, TWIST_PARTS)}")
        units = {name: "m/s" if name.startswith("linear") else "rad/s" for name in names}
        measures = frozenset({"velocity"} if values["use_odometry"] else ())
        return tuple(
            Channel(name, "velocity", units[name], effort_limit=limited, measures=measures) for name in names
        )
    if mode not in get_args(Mode):
        raise InvalidSetup(f"command_mode: must be one of {get_args(Mode)}, got {mode!r}")
    measures = frozenset({"position", "velocity", "effort"})
    return tuple(Channel(name, mode, _UNITS[mode], effort_limit=limited, measures=measures) for name in names)


def envelope_of(values: Mapping[str, Any], channels: Sequence[Channel]) -> Envelope:
    """The envelope that the parameters state, complete for each channel's mode.

    Raises `InvalidSpec` naming the parameter and the value: missing, 0, not finite, of the wrong sign or
    inverted, or switched off.
    """
    table = {}
    for channel in channels:
        place = prefix(channel.name)
        for switch, limit in _SWITCHES.items():
            if values.get(f"{place}.{switch}", True) is not True:
                raise InvalidSpec(f"{place}.{switch} = false: a hard limit cannot be off ({place}.{limit})")
        if values.get(f"{place}.has_jerk_limits", False) is not False:
            raise InvalidSpec(f"{place}.has_jerk_limits = true: the envelope bounds no jerk; a nerf can")
        limits = {
            field: _limit(f"{place}.{name}", field, values[f"{place}.{name}"])
            for name, field in LIMIT_FIELDS.items()
            if values.get(f"{place}.{name}") is not None
        }
        low, high = limits.get("min_position", -math.inf), limits.get("max_position", math.inf)
        if low >= high:
            raise InvalidSpec(f"{place}.min_position = {low:g}: must be below max_position = {high:g}")
        table[channel.name] = ChannelEnvelope(**limits)
    envelope = Envelope(channels=table)
    for channel in channels:
        try:
            envelope.channel(channel)  # whether it has what the channel's mode requires
        except InvalidSpec as error:
            text = str(error)
            for name, field in LIMIT_FIELDS.items():
                text = text.replace(f"envelope.{channel.name}.{field}:", f"{prefix(channel.name)}.{name}:")
            raise InvalidSpec(text) from None
    return envelope


def _limit(name: str, field: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidSpec(f"{name} = {value!r}: must be a number")
    if not math.isfinite(value):
        raise InvalidSpec(f"{name} = {value}: must be finite")
    if field in ("min_velocity", "min_effort") and value > 0.0:
        raise InvalidSpec(f"{name} = {value:g}: must not be above 0")
    if not field.startswith("min_") and field != "max_position" and value <= 0.0:
        raise InvalidSpec(f"{name} = {value:g}: must be above 0; 0 does not mean off")
    return float(value)


def envelope_parameters(envelope: Envelope, channels: Sequence[str]) -> dict[str, float]:
    """The inverse of `envelope_of`, for the limits that `envelope` states for these channels."""
    parameters = {}
    for channel in channels:
        limits = envelope.find(channel)
        for name, field in LIMIT_FIELDS.items():
            value = None if limits is None else getattr(limits, field)
            if value is not None and (name, value) != ("holding_effort", 0.0):
                parameters[f"{prefix(channel)}.{name}"] = value
    return parameters


def check(values: Mapping[str, Any], table: Sequence[Parameter]) -> None:
    """Check every value against its table. Raises `InvalidSetup` naming the parameter, value and range."""
    accepted: dict[type, Any] = {float: (int, float), list: (list, tuple)}
    for item in table:
        value, kind = values[item.name], type(item.default)
        if not isinstance(value, accepted.get(kind, kind)) or (isinstance(value, bool) and kind is not bool):
            raise InvalidSetup(f"{item.name} = {value!r}: must be a {kind.__name__}")
        if kind in (int, float):
            above = item.low < value if item.above_low else item.low <= value
            if not (above and value <= item.high):
                span = f"{'above' if item.above_low else 'at least'} {item.low:g} and at most {item.high:g}"
                raise InvalidSetup(f"{item.name} = {value}: must be {span} {item.unit}".rstrip())


def check_names(given: Sequence[str], known: Sequence[str]) -> None:
    """Raise `InvalidSetup` for a parameter that no node reads: a misspelt limit must not go unnoticed."""
    for name in given:
        if name not in known and not name.startswith("qos_overrides."):
            raise InvalidSetup(f"parameter {name}: is unknown{suggestion(name, list(known))}")
