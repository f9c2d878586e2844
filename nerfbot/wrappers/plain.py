"""Constructor arguments as plain data, so that a wrapped environment's spec can be saved and rebuilt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nerfbot.errors import InvalidSpec, LeaseError
from nerfbot.limits import Channel, NerfSpec
from nerfbot.limits.geometry import Geometry, ImageGeometry, PlainGeometry, RayGeometry
from nerfbot.powers import Schedule, load_schedule

SpecSource = str | Path | Mapping[str, Any] | NerfSpec
ScheduleSource = str | Path | Mapping[str, Any] | Schedule
AxesSource = str | Sequence[str] | Mapping[str, float]
ChannelSource = Channel | str | Mapping[str, Any]
GeometrySource = Geometry | Mapping[str, Any]

_GEOMETRIES: dict[str, type[Any]] = {"plain": PlainGeometry, "rays": RayGeometry, "image": ImageGeometry}
_UNUSABLE = {
    "edits": "a world edit needs a simulator of its own",
    "region": "a wrapped environment reports no position",
    "charges": "nothing in a wrapped environment uses a charge",
}


def plain_spec(source: SpecSource) -> str | dict[str, Any]:
    """A preset name, a path or a mapping that `load_spec` reads back to the same specification."""
    if isinstance(source, NerfSpec):
        return source.model_dump(mode="json", exclude_unset=True)
    return dict(source) if isinstance(source, Mapping) else str(source)


def load_spec(source: SpecSource) -> NerfSpec:
    """The specification from a preset name, a path, a mapping or itself; raises `InvalidSpec`."""
    return NerfSpec.parse(source) if isinstance(source, Mapping) else NerfSpec.load(source)


def plain_schedule(source: ScheduleSource) -> str | dict[str, Any]:
    """A name, a path or a mapping that `load_schedule` reads back; without what it has learned."""
    if isinstance(source, Schedule):
        return source.model_dump(mode="json")
    return dict(source) if isinstance(source, Mapping) else str(source)


def plain_axes(axes: AxesSource | None) -> dict[str, float] | None:
    """Levels by axis from a name, names (level 1 each) or a mapping."""
    if axes is None or isinstance(axes, Mapping):
        return None if axes is None else dict(axes)
    return dict.fromkeys([axes] if isinstance(axes, str) else axes, 1.0)


def build_schedule(source: ScheduleSource, axes: AxesSource | None = None) -> Schedule:
    """The schedule, with its axes replaced where ``axes`` are given.

    Raises `LeaseError` for a schedule that cannot be, or that asks for what a wrapper cannot grant.
    """
    schedule = load_schedule(source)
    levels = plain_axes(axes)
    if levels is not None:
        schedule = load_schedule({**schedule.model_dump(mode="json"), "edits": [], "axes": levels})
    for field, why in _UNUSABLE.items():
        if getattr(schedule, field):
            raise LeaseError(f"schedule {schedule.kind}: {field} = {getattr(schedule, field)!r}: {why}")
    return schedule


def plain_channels(channels: Sequence[ChannelSource] | None, mode: str) -> list[dict[str, Any]] | None:
    """Channels as mappings of name, mode and unit; a bare name takes ``mode`` and the unit 1.

    Raises `InvalidSpec` for anything else, and for a channel whose effort the plant is said to cap or
    whose measurements it is said to report: a Gymnasium environment is given an action and nothing more.
    """
    if channels is None:
        return None
    plain = []
    for item in channels:
        if isinstance(item, Channel):
            if item.effort_limit or item.measures:
                raise InvalidSpec(
                    f"channel {item.name}: effort_limit and measures must stay empty:"
                    " an environment takes no effort limit and reports no measurements to a wrapper"
                )
            plain.append({"name": item.name, "mode": item.mode, "unit": item.unit})
            continue
        given = {"name": item} if isinstance(item, str) else dict(item)
        if "name" not in given or set(given) - {"name", "mode", "unit"}:
            raise InvalidSpec(f"channel {given!r}: must have a name, and may have a mode and a unit")
        plain.append({"mode": mode, "unit": "1", **given})
    return plain


def plain_geometry(geometry: Mapping[str, GeometrySource] | None) -> dict[str, dict[str, Any]]:
    """Geometries by sensor as mappings with a ``kind``."""
    kinds = {cls: kind for kind, cls in _GEOMETRIES.items()}
    plain = {}
    for name, item in (geometry or {}).items():
        if isinstance(item, Mapping):
            plain[name] = dict(item)
        else:
            fields = {key: value for key, value in asdict(item).items() if key != "carries"}
            plain[name] = {"kind": kinds[type(item)], **fields}
    return plain


def build_geometry(name: str, source: Mapping[str, Any]) -> Geometry:
    """The geometry of the sensor ``name`` from a mapping with a ``kind``; raises `InvalidSpec`."""
    fields = dict(source)
    kind = fields.pop("kind", None)
    if kind not in _GEOMETRIES:
        raise InvalidSpec(f"geometry[{name}].kind: must be one of {', '.join(_GEOMETRIES)}, got {kind!r}")
    try:
        geometry: Geometry = _GEOMETRIES[kind](**fields)
    except TypeError as error:
        raise InvalidSpec(f"geometry[{name}]: {str(error).partition('() ')[2] or error}") from None
    return geometry
