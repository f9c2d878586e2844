"""Checkpoint files: nested plain values, written whole or not at all, and read back.

A file holds tensors, arrays, numbers, text, lists and dicts, and is read as such: reading one runs no code
of its author. What the values mean is the learner's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nerfbot.errors import InvalidCommand, one_line

FORMAT = "nerfbot-checkpoint-1"

ARRAY = "\0numpy"
"""Key of the one-entry dict that stands for a NumPy array in a file."""


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Write a file, whole or not at all. Raises `InvalidCommand` where it cannot be written."""
    part = path.with_name(path.name + ".part")
    packed = {"format": FORMAT, **pack(state)}
    try:
        with part.open("wb") as file:
            torch.save(packed, file)
        part.replace(path)
    except (OSError, RuntimeError) as problem:
        part.unlink(missing_ok=True)
        raise InvalidCommand(f"checkpoint: {path} cannot be written: {one_line(problem)}") from None


def read(path: Path) -> dict[str, Any]:
    """What `write` was given. Raises `InvalidCommand` for a file that is missing, corrupted or another."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InvalidCommand(f"checkpoint: {path} does not exist") from None
    except Exception as problem:  # a corrupted archive raises whatever the bytes happen to lead to
        raise InvalidCommand(f"checkpoint: {path} cannot be read: {one_line(problem)}") from None
    file_format = content.pop("format", None) if isinstance(content, dict) else None
    if file_format != FORMAT:
        raise InvalidCommand(f"checkpoint: {path}: format = {file_format!r}: must be {FORMAT!r}")
    state: dict[str, Any] = unpack(content)
    return state


def pack(value: Any, place: str = "") -> Any:
    """`value` with its NumPy arrays as tensors. Raises `InvalidCommand` for what a file may not hold."""
    if value is None or isinstance(value, bool | int | float | str | Tensor):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype != object:
        return {ARRAY: torch.from_numpy(value.copy())}
    if isinstance(value, Mapping):
        return {name: pack(part, f"{place}.{name}") for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(pack(part, f"{place}[{i}]") for i, part in enumerate(value))
    raise InvalidCommand(
        f"checkpoint: {place.lstrip('.')}: {type(value).__name__} cannot be saved"
        " (numbers, text, arrays, tensors, lists and dicts can)"
    )


def unpack(value: Any) -> Any:
    """What `pack` was given."""
    if isinstance(value, dict):
        if set(value) == {ARRAY}:
            return value[ARRAY].numpy()
        return {name: unpack(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(unpack(part) for part in value)
    return value
