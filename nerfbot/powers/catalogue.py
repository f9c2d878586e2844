"""Schedules by name, by mapping or from a YAML file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nerfbot.declared import suggestion
from nerfbot.errors import LeaseError
from nerfbot.files import is_yaml_path, read_yaml
from nerfbot.powers.adaptive import DamageBounded, Staircase
from nerfbot.powers.schedule import Always, Never, Occasional, Schedule

SCHEDULES: dict[str, type[Schedule]] = {
    "never": Never,
    "always": Always,
    "occasional": Occasional,
    "staircase": Staircase,
    "damage-bounded": DamageBounded,
}
"""Every kind of schedule, by the name that also loads it with its defaults."""


def load_schedule(source: str | os.PathLike[str] | Mapping[str, Any] | Schedule) -> Schedule:
    """A schedule from its name ("occasional"), a mapping with `kind`, or a YAML file that holds one.

    A text that ends in .yaml or .yml, and any path object, is a file. Raises `LeaseError`, one line that
    names the file, the field and the value.
    """
    if isinstance(source, Schedule):
        return source
    if isinstance(source, Mapping):
        return _from_mapping(source)
    if isinstance(source, str) and not is_yaml_path(source):
        return _from_mapping({"kind": source})
    path = Path(source)
    data = read_yaml(path, LeaseError)
    try:
        return _from_mapping(data)
    except LeaseError as error:
        raise LeaseError(f"{path}: {error}") from None


def _from_mapping(data: Any) -> Schedule:
    if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
        raise LeaseError(f"a schedule must be a mapping of fields, not {data!r}")
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in SCHEDULES:
        raise LeaseError(f"schedule: kind: unknown {kind!r}{suggestion(kind, SCHEDULES)}")
    return SCHEDULES[kind](**data)
