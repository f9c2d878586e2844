"""What a specification asks for and what a plant can enforce, limit by limit: declared means enforced."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nerfbot.errors import InvalidSpec
from nerfbot.limits.channel import Channel
from nerfbot.limits.envelope import ChannelEnvelope, Envelope
from nerfbot.limits.fields import CHANNEL_FIELDS, COMMAND_FIELDS, SENSOR_FIELDS, FieldInfo
from nerfbot.limits.spec import NerfSpec, Section
from nerfbot.limits.value import Distribution, Value, high, low

_ROUNDING = 1e-6  # share of a step


class Enforcement(NamedTuple):
    """One limit on one channel (or sensor, or the command link).

    ``problem`` is empty where the plant enforces it; ``note`` says how, where it is only so nearly.
    """

    channel: str
    field: str
    axis: str
    unit: str
    nerfed: Value
    lifted: Value
    problem: str
    note: str = ""

    @property
    def name(self) -> str:
        """What a user writes to allow it unenforced: ``angular.z.effort``."""
        return f"{self.channel}.{self.field}"

    @property
    def status(self) -> str:
        """One of ``enforced``, ``quantised`` and ``not enforceable``."""
        if self.problem:
            return "not enforceable"
        return "quantised" if self.note else "enforced"


def enforcement(
    spec: NerfSpec, channels: Sequence[Channel], envelope: Envelope | None = None
) -> list[Enforcement]:
    """Report every limit of ``spec`` on ``channels``; ``envelope`` fills in missing lifted values."""
    report = []
    for channel in channels:
        limits = envelope.find(channel.name) if envelope else None
        section = spec.channel(channel.name, limits)
        for item in declared(channel.name, section, CHANNEL_FIELDS, channel):
            report.append(item._replace(problem=_problem(item.field, channel, limits)))
    return report


def declared(
    name: str, section: Section, table: dict[str, FieldInfo], channel: Channel | None = None
) -> Iterator[Enforcement]:
    """Every limit of a section, as if it were enforced; ``channel`` says in which units."""
    for field, limit in section.limits():
        info = table[field]
        unit = info.unit if channel is None else info.unit_on(channel)
        lifted = limit.nerfed if limit.lifted is None else limit.lifted
        yield Enforcement(name, field, info.axis, unit, limit.nerfed, lifted, "")


def command_enforcement(spec: NerfSpec, step: float) -> list[Enforcement]:
    """Report every limit of the command's link, for a plant that acts every ``step`` s."""
    return _delayed("command", spec.link(), COMMAND_FIELDS, step, "commands act")


def sensor_enforcement(spec: NerfSpec, sensor: str, step: float) -> list[Enforcement]:
    """Report every limit of a sensor that is read every ``step`` s."""
    return _delayed(sensor, spec.sensor(sensor), SENSOR_FIELDS, step, "readings are taken")


def _delayed(
    name: str, section: Section, table: dict[str, FieldInfo], step: float, event: str
) -> list[Enforcement]:
    return [
        item._replace(note=_applied_delay((item.nerfed, item.lifted), step, event))
        if item.field in ("latency", "jitter")
        else item
        for item in declared(name, section, table)
    ]


def _applied_delay(values: Sequence[Value], step: float, event: str) -> str:
    """What becomes of delays that do not end on a step: they last until the next; "" where all do."""
    applied = []
    for value in values:
        most = high(value)
        until = math.ceil(most / step - _ROUNDING) * step
        if isinstance(value, Distribution) or until - most > _ROUNDING * step:
            applied.append(f"{_text(value)} s acts as up to {until:.4g} s")
    return f"{'; '.join(dict.fromkeys(applied))}: {event} every {step:.4g} s" if applied else ""


def require_enforceable(report: Sequence[Enforcement], allow: Sequence[str] = ()) -> None:
    """Raise `InvalidSpec` for the first limit that is not enforceable and not in ``allow`` by name."""
    for item in report:
        if item.problem and item.name not in allow:
            raise InvalidSpec(
                f"channels[{item.channel}].{item.field}: {_text(item.nerfed)} {item.unit} is not enforceable:"
                f" {item.problem} (allow {item.name!r} to go on without it)"
            )


def require_enforceable_envelope(
    envelope: Envelope, channels: Sequence[Channel], allow: Sequence[str] = ()
) -> None:
    """Raise `InvalidSpec` for the first hard limit that would be ignored and is not in ``allow``."""
    for channel in channels:
        for field, problem in envelope.problems(channel):
            name = f"{channel.name}.{field}"
            if name not in allow:
                raise InvalidSpec(
                    f"envelope.{name}: {getattr(envelope.channel(channel), field):g} is not enforceable:"
                    f" {problem} (allow {name!r} to go on without it)"
                )


def needs_velocity(field: str, channel: Channel) -> bool:
    """Whether enforcing ``field`` on ``channel`` takes the channel's measured velocity."""
    return field in ("stall_effort", "no_load_velocity") or (field == "velocity" and channel.mode == "effort")


def _problem(field: str, channel: Channel, envelope: ChannelEnvelope | None) -> str:
    if channel.mode not in CHANNEL_FIELDS[field].modes:
        return f"a {channel.mode} channel cannot carry it"
    effort = channel.mode == "effort" or channel.effort_limit
    if field in ("effort", "stall_effort", "no_load_velocity") and not effort:
        return "the plant cannot cap this channel's effort"
    if needs_velocity(field, channel) and "velocity" not in channel.measures:
        return "the plant does not measure this channel's velocity"
    by_effort = channel.mode == "effort" and not channel.velocity_limit
    if field == "velocity" and by_effort and envelope is not None and envelope.damping is None:
        return "above it nothing brakes: the envelope has to state damping"
    return ""


def _text(value: Value) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else f"{low(value):g}..{high(value):g}"
