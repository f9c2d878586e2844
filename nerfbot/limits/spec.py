"""`NerfSpec`: the declared impairment of one machine, from a YAML file or a preset. Data only, no state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from nerfbot.declared import Declared, suggestion, validate
from nerfbot.errors import InvalidSpec
from nerfbot.files import is_yaml_path, read_yaml
from nerfbot.limits.channel import Channel
from nerfbot.limits.envelope import ChannelEnvelope, Envelope
from nerfbot.limits.fields import CHANNEL_FIELDS, COMMAND_FIELDS, SENSOR_FIELDS, FieldInfo
from nerfbot.limits.value import Limit, high, low

PRESETS = Path(__file__).parent / "presets"


class Burst(Declared):
    """Faults that come in bursts: ``rate`` (1/s) of onset while healthy, mean ``duration`` (s) of each.

    Onsets are a Poisson process, so the share of time in fault does not depend on the control rate;
    durations are exponential, or all equal with ``spread: fixed``.
    """

    rate: Limit
    duration: Limit
    spread: Literal["exponential", "fixed"] = "exponential"


class Section(Declared):
    """A group of limits; knows how to walk them under the names of its field table."""

    def limits(self) -> Iterator[tuple[str, Limit]]:
        """Yield (field name, limit) for every limit given; bursts as ``hold.rate`` and ``hold.duration``."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Limit):
                yield name, value
            elif isinstance(value, Burst):
                yield f"{name}.rate", value.rate
                yield f"{name}.duration", value.duration


class ChannelNerf(Section):
    """Limits of one actuated channel. Units and axes: `CHANNEL_FIELDS`."""

    effort: Limit | None = None
    stall_effort: Limit | None = None
    no_load_velocity: Limit | None = None
    gain: Limit | None = None
    velocity: Limit | None = None
    acceleration: Limit | None = None
    deceleration: Limit | None = None
    jerk: Limit | None = None
    hold: Burst | None = None
    intermittent: Burst | None = None
    dead_band: Limit | None = None
    backlash: Limit | None = None
    quantum: Limit | None = None

    @model_validator(mode="after")
    def _curve_is_whole(self) -> ChannelNerf:
        if (self.stall_effort is None) != (self.no_load_velocity is None):
            raise ValueError("a torque-speed curve needs both stall_effort and no_load_velocity")
        return self


class CommandNerf(Section):
    """Limits of the link that carries the commands: whole messages are late or lost (`COMMAND_FIELDS`).

    ``jitter`` adds to each message a delay drawn uniformly between 0 and its value.
    """

    latency: Limit | None = None
    jitter: Limit | None = None
    drop: Burst | None = None


class SensorNerf(Section):
    """Limits of one sensor (`SENSOR_FIELDS`); noise, bias and drift in the unit of its reading."""

    range: Limit | None = None
    field_of_view: Limit | None = None
    resolution: Limit | None = None
    rate: Limit | None = None
    latency: Limit | None = None
    noise: Limit | None = None
    bias: Limit | None = None
    drift: Limit | None = None
    dropout: Limit | None = None
    frozen: Burst | None = None


class NerfSpec(Declared):
    """What is impaired, on which channels and sensors, from which nerfed to which lifted value.

    ``channels`` and ``sensors`` are keyed by name or by pattern (``*_joint``); where several match, the
    exact name wins field by field over patterns, and an earlier pattern over a later one.
    """

    name: str = Field(min_length=1)
    description: str = ""
    envelope: Envelope | None = None
    command: CommandNerf = CommandNerf()
    channels: dict[str, ChannelNerf] = Field(default_factory=dict)
    sensors: dict[str, SensorNerf] = Field(default_factory=dict)

    @classmethod
    def load(cls, source: str | Path | NerfSpec) -> NerfSpec:
        """Load a preset by name or a YAML file by path.

        Raises `InvalidSpec` with one line that names the file, the field and the value.
        """
        if isinstance(source, NerfSpec):
            return source
        path = Path(source)
        if not is_yaml_path(path) and "/" not in str(source):
            path = PRESETS / f"{source}.yaml"
            if not path.is_file():
                known = cls.presets()
                raise InvalidSpec(f"nerf: unknown preset {str(source)!r}{suggestion(str(source), known)}")
        return cls.parse(read_yaml(path), source=str(source))

    @classmethod
    def parse(cls, data: Any, source: str = "nerf") -> NerfSpec:
        """Build a specification from plain data, with every check; ``source`` opens the error's line."""
        if not isinstance(data, Mapping):
            raise InvalidSpec(
                f"{source}: must be a mapping with a name and channels, got {type(data).__name__}"
            )
        spec = validate(cls, data, source)
        spec._check(source)
        return spec

    @staticmethod
    def presets() -> list[str]:
        """Names of the presets that ship with the package, sorted."""
        return sorted(path.stem for path in PRESETS.glob("*.yaml"))

    def channel(self, name: str, envelope: ChannelEnvelope | None = None) -> ChannelNerf:
        """Limits of the channel ``name``: matching entries merged, lifted values filled in.

        ``envelope`` is what a missing lifted value of an upper bound falls back to; by default this
        specification's own. Raises `InvalidSpec` where a lifted value can be had from nowhere.
        """
        if envelope is None and self.envelope is not None:
            envelope = self.envelope.find(name)
        section = _merged(ChannelNerf, self.channels, name)
        return _completed(section, CHANNEL_FIELDS, f"channels[{name}]", envelope)

    def sensor(self, name: str) -> SensorNerf:
        """Limits of the sensor ``name``: matching entries merged, lifted values filled in."""
        return _completed(_merged(SensorNerf, self.sensors, name), SENSOR_FIELDS, f"sensors[{name}]")

    def link(self) -> CommandNerf:
        """Limits of the command link, lifted values filled in."""
        return _completed(self.command, COMMAND_FIELDS, "command")

    def check_names(self, channels: list[str], sensors: list[str] | None = None) -> None:
        """Raise `InvalidSpec` if an entry matches none of the robot's ``channels`` (or ``sensors``)."""
        groups: list[tuple[str, Mapping[str, Section], list[str]]] = [("channels", self.channels, channels)]
        if sensors is not None:
            groups.append(("sensors", self.sensors, sensors))
        for title, entries, names in groups:
            for key in entries:
                if not any(key == name or fnmatchcase(name, key) for name in names):
                    raise InvalidSpec(
                        f"{self.name}: {title}[{key}]: the robot has no such {title[:-1]}"
                        f"{suggestion(key, names) or ' (it has none)'}"
                    )

    def check_envelope(self, channels: tuple[Channel, ...], envelope: Envelope) -> None:
        """Raise `InvalidSpec` if any limit on ``channels`` reaches past ``envelope``."""
        for channel in channels:
            limits = envelope.channel(channel)
            _within_envelope(
                self.channel(channel.name, limits), limits, f"{self.name}: channels[{channel.name}]"
            )

    def _check(self, source: str) -> None:
        _check_values(self.command, COMMAND_FIELDS, f"{source}: command")
        for key, sensor in self.sensors.items():
            _check_values(sensor, SENSOR_FIELDS, f"{source}: sensors[{key}]")
        for key, channel in self.channels.items():
            _check_values(channel, CHANNEL_FIELDS, f"{source}: channels[{key}]")
        if self.envelope is None:
            return
        for name in {**self.channels, **self.envelope.channels}:
            limits = self.envelope.find(name)
            if limits is not None:
                _within_envelope(
                    _merged(ChannelNerf, self.channels, name), limits, f"{source}: channels[{name}]"
                )


def _merged(model: type[Any], entries: Mapping[str, Section], name: str) -> Any:
    matching = [entry for key, entry in entries.items() if key != name and fnmatchcase(name, key)]
    if name in entries:
        matching.insert(0, entries[name])
    values: dict[str, Any] = {}
    for entry in reversed(matching):
        values.update({key: getattr(entry, key) for key in entry.model_fields_set})
    return model.model_construct(**{key: values.get(key) for key in model.model_fields})


def _completed(
    section: Any, table: dict[str, FieldInfo], place: str, envelope: ChannelEnvelope | None = None
) -> Any:
    """Return a copy of ``section`` in which every limit has a lifted value."""
    updates: dict[str, Any] = {}
    for field, limit in section.limits():
        if limit.lifted is not None:
            continue
        info = table[field]
        lifted = info.lifted
        if lifted is None and field.endswith(".duration"):
            lifted = high(limit.nerfed)
        if lifted is None and envelope is not None and info.envelope is not None:
            lifted = getattr(envelope, info.envelope)
        if lifted is None:
            raise InvalidSpec(f"{place}.{field}.lifted: is required (nothing in the envelope says it)")
        group, _, part = field.partition(".")
        filled = Limit(nerfed=limit.nerfed, lifted=lifted)
        if part:
            burst = updates.get(group, getattr(section, group))
            updates[group] = burst.model_copy(update={part: filled})
        else:
            updates[group] = filled
    return section.model_copy(update=updates)


def _check_values(section: Section, table: dict[str, FieldInfo], place: str) -> None:
    for field, limit in section.limits():
        info = table[field]
        ends = [("nerfed", limit.nerfed), ("lifted", limit.lifted)]
        for end, value in ends:
            if value is None:
                continue
            _check_range(f"{place}.{field}.{end}", field, info, low(value), high(value))
        if limit.lifted is None or field == "bias" or field.endswith(".duration"):
            continue
        if info.tighter == "less" and high(limit.nerfed) > low(limit.lifted):
            nerfed, relation, lifted = high(limit.nerfed), "must not exceed", low(limit.lifted)
        elif info.tighter == "more" and low(limit.nerfed) < high(limit.lifted):
            nerfed, relation, lifted = low(limit.nerfed), "must not be below", high(limit.lifted)
        else:
            continue
        raise InvalidSpec(f"{place}.{field}: nerfed {nerfed:g} {relation} lifted {lifted:g}")


def _check_range(place: str, field: str, info: FieldInfo, least: float, most: float) -> None:
    if field == "bias":
        return  # the one signed limit
    if info.tighter == "less" or field.endswith(".duration"):
        if least <= 0:
            raise InvalidSpec(f"{place}: must be above 0, got {least:g}")
    elif least < 0:
        raise InvalidSpec(f"{place}: must not be negative, got {least:g}")
    if info.most is not None and most > info.most:
        raise InvalidSpec(f"{place}: must be at most {info.most:g}, got {most:g}")


def _within_envelope(section: ChannelNerf, envelope: ChannelEnvelope, place: str) -> None:
    for field, limit in section.limits():
        info = CHANNEL_FIELDS[field]
        for end, value in (("nerfed", limit.nerfed), ("lifted", limit.lifted)):
            if value is None:
                continue
            bound = getattr(envelope, info.envelope) if info.envelope else None
            where = f"{place}.{field}.{end}"
            if bound is not None and high(value) > bound:
                raise InvalidSpec(
                    f"{where}: {high(value):g} is above the envelope's {info.envelope} {bound:g}"
                )
            for name, floor in _floors(field, envelope):
                if floor is not None and low(value) < floor:
                    raise InvalidSpec(f"{where}: {low(value):g} is below the envelope's {name} {floor:g}")


def _floors(field: str, envelope: ChannelEnvelope) -> list[tuple[str, float | None]]:
    """What an impairment may not go below: braking to a stop, and holding the load."""
    return {
        "deceleration": [("stop_deceleration", envelope.stop_deceleration)],
        "effort": [("holding_effort", envelope.holding_effort)],
        "stall_effort": [("holding_effort", envelope.holding_effort)],
    }.get(field, [])
