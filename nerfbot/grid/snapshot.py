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

_ENTRY_NAMES = {
    "first_contact": "first",
    "final_first_contact": "final_first",
    "impacts": "blows",
    "in_flight": "sent",
    "observed_leases": "told",
    "progress_move": "way",
    "received": "heard",
    "stuck_command": "kept",
    "tick_reward": "gain",
}
"""Names of arrays in a state where they differ from those in the structs; saved states have them."""


def state_of(worlds: GridWorlds) -> dict[str, Any]:
    """Copies of every array that steps and resets write, and what the schedules have learned.

    Nerf, task and menu are not part of it. Of the levels it holds what `draw_from` and `write_level` change.
    """
    return {
        "count": worlds.count,
        **{name: array.numpy().copy() for name, array in _arrays(worlds).items()},
        "windows_learned": list(worlds.windows_learned),
        "schedules": [copy.deepcopy(schedule.state()) for schedule in worlds.windows.schedules],
    }


def restore_state(worlds: GridWorlds, state: Mapping[str, Any]) -> None:
    """Put worlds that were built alike into a state. Raises `InvalidCommand` where it does not fit."""
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
    schedules = worlds.windows.schedules
    if len(state["schedules"]) != len(schedules):
        raise InvalidCommand(f"state.schedules: {len(state['schedules'])} given, must be {len(schedules)}")
    for schedule, learned in zip(schedules, state["schedules"], strict=True):
        schedule.restore(copy.deepcopy(learned))
    for name, array in arrays.items():
        array.assign(np.asarray(state[name]))
    worlds.windows_learned = tuple(state["windows_learned"])


def _arrays(worlds: GridWorlds) -> dict[str, Any]:
    """Every array that steps and resets write, by its name in a state; cells once, not by chunks as well."""
    structs: tuple[tuple[str, Any, Any], ...] = (
        ("world", Worlds, worlds.state),
        ("told", Outcome, worlds.out),
    )
    arrays = {
        f"{prefix}.{_ENTRY_NAMES.get(name, name)}": getattr(struct, name)
        for prefix, kind, struct in structs
        for name in kind.vars
        if not name.endswith("chunks")
    }
    for name in ("pick", "cells", "start", "apart"):
        arrays[f"levels.{name}"] = getattr(worlds.level_arrays, name)
    if worlds.windows.adapts:
        # Windows of several generations, which the schedules drew before they learned more.
        arrays["windows.first_plan"] = worlds.rules.first_plan
        for name in WINDOW_ARRAYS:
            arrays[f"windows.{name}"] = getattr(worlds.rules, f"window_{name}")
    return arrays
