"""The state of many worlds as plain values, and back: what a run needs to go on exactly where it stopped."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from nerfbot.errors import InvalidCommand
from nerfbot.grid.device_memory import WINDOW_ARRAYS
from nerfbot.grid.kernels.state import Outcome, Worlds
from nerfbot.grid.worlds import GridWorlds


def state_of(worlds: GridWorlds) -> dict[str, Any]:
    """Copies of every array of the worlds and of what the latest step told, and what schedules have learned.

    Nerf, task and menu are not in it: they are the worlds' making, not their state. Of the levels it holds
    what `draw_from` and `write_level` change.
    """
    return {
        "count": worlds.count,
        **{name: array.numpy().copy() for name, array in _arrays(worlds).items()},
        "windows_learned": list(worlds.windows_learned),
        "schedules": [copy.deepcopy(schedule.state()) for schedule in worlds.bank.schedules],
    }


def give_back(worlds: GridWorlds, state: Mapping[str, Any]) -> None:
    """Put worlds of the same making into a state. Raises `InvalidCommand` where it does not fit."""
    arrays = _arrays(worlds)
    expected = {"count", "windows_learned", "schedules", *arrays}
    if set(state) != expected:
        differ = sorted(set(state) ^ expected)
        raise InvalidCommand(f"state: holds other entries than these worlds have: {', '.join(differ)}")
    if state["count"] != worlds.count:
        raise InvalidCommand(f"state: is of {state['count']} worlds, here are {worlds.count}")
    for name, array in arrays.items():
        values = np.asarray(state[name])
        if values.shape != array.shape or values.dtype != array.numpy().dtype:
            raise InvalidCommand(
                f"state.{name}: is {values.dtype} {values.shape}, must be {array.numpy().dtype} {array.shape}"
            )
    schedules = worlds.bank.schedules
    if len(state["schedules"]) != len(schedules):
        raise InvalidCommand(f"state.schedules: {len(state['schedules'])} given, must be {len(schedules)}")
    for schedule, learned in zip(schedules, state["schedules"], strict=True):
        schedule.restore(copy.deepcopy(learned))
    for name, array in arrays.items():
        array.assign(np.asarray(state[name]))
    worlds.windows_learned = tuple(state["windows_learned"])


def _arrays(worlds: GridWorlds) -> dict[str, Any]:
    """Every array that steps and resets write, by name; cells once, not by chunks as well."""
    found: dict[str, Any] = {}
    structs: tuple[tuple[str, Any, Any], ...] = (
        ("world", Worlds, worlds.state),
        ("told", Outcome, worlds.out),
    )
    for prefix, kind, struct in structs:
        for name in kind.vars:
            if not name.endswith("chunks"):
                found[f"{prefix}.{name}"] = getattr(struct, name)
    for name in ("pick", "cells", "start", "apart"):
        found[f"levels.{name}"] = getattr(worlds.level_arrays, name)
    if worlds.bank.adapts:
        # Windows of several generations lie there, drawn when schedules stood elsewhere than now.
        found["windows.first_plan"] = worlds.rules.first_plan
        for name in WINDOW_ARRAYS:
            found[f"windows.{name}"] = getattr(worlds.rules, f"window_{name}")
    return found
