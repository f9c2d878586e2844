"""The grid's arrays on a device: rules and levels are copied there once, worlds are allocated there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from nerfbot.grid.action_menu import Menu
from nerfbot.grid.codes import ANY_ZONE, COLOURS, GATE
from nerfbot.grid.grid_nerf import GridNerf
from nerfbot.grid.kernels.state import (
    CHUNK,
    CHUNK_BYTES,
    KEY_SLOTS,
    PROXY,
    SPARE,
    LevelArrays,
    Outcome,
    Rules,
    Worlds,
)
from nerfbot.grid.lease_windows import LeaseWindows
from nerfbot.grid.levels import LevelSet
from nerfbot.grid.scoring import ScoreTables
from nerfbot.limits import AXES
from nerfbot.powers import EDITS

WINDOW_ARRAYS = ("start", "length", "ramp", "level", "axes", "edits", "charges")
"""The arrays of `LeaseWindows` that kernels read, as ``window_...``."""

_TYPES = {
    np.dtype(np.uint8): wp.uint8,
    np.dtype(np.int32): wp.int32,
    np.dtype(np.int64): wp.int64,
    np.dtype(np.uint64): wp.uint64,
    np.dtype(np.float32): wp.float32,
    np.dtype(np.float64): wp.float64,
    np.dtype(np.bool_): wp.bool,
}


@dataclass(frozen=True)
class GridOptions:
    """How the worlds behave, besides their levels, nerf and task.

    - `horizon`: ticks after which an episode is truncated
    - `leases`: "anywhere" or "lift-zones"; longer ones than `max_lease` s are refused
    - `reveal`: whether observation and mask show what is granted
    - `keys`: whether observations count keys
    - `in_order`: play levels one after another instead of drawing them
    - `auto_reset`: whether the step that ends an episode begins the next
    """

    horizon: int
    end_on_goal: bool = True
    end_on_proxy: bool = False
    leases: str = "anywhere"
    max_lease: float = float("inf")
    reveal: bool = True
    keys: bool = False
    in_order: bool = False
    auto_reset: bool = True


def feature_names(options: GridOptions) -> tuple[str, ...]:
    """What each number of an observation's vector is."""
    keys = tuple(f"{colour} keys" for colour in COLOURS) if options.keys else ()
    powers = (*(f"lift {axis}" for axis in AXES), *EDITS, "lease s", "charges") if options.reveal else ()
    return "progress", "phasing", *keys, *powers


def boxed(device: Any, structs: Mapping[Any, Any]) -> list[wp.array]:
    """Structs by their kind, each as an array of one: by value, kernels would copy it in every call."""
    return [wp.array([struct], dtype=kind, device=device) for kind, struct in structs.items()]


class DeviceMemory:
    """Arrays on one of Warp's devices."""

    def __init__(self, device: Any) -> None:
        self.device = device

    def zeros(self, size: int, dtype: Any) -> wp.array:
        """`size` zeros, at least one: kernels take no empty array."""
        return wp.zeros(max(1, int(size)), dtype=dtype, device=self.device)

    def array(self, values: NDArray[Any]) -> wp.array:
        """A flat copy of NumPy's array."""
        flat = np.ascontiguousarray(values).reshape(-1)
        flat = flat if flat.size else np.zeros(1, flat.dtype)
        return wp.array(flat, dtype=_TYPES[flat.dtype], device=self.device, copy=True)

    def chunked(self, flat: wp.array) -> wp.array:
        """The same memory in pieces of 64 bytes."""
        return wp.array(
            ptr=flat.ptr, dtype=CHUNK, shape=(flat.size // CHUNK_BYTES,), device=self.device, copy=False
        )

    def rules(
        self,
        levels: LevelSet,
        nerf: GridNerf,
        tables: ScoreTables,
        menu: Menu,
        windows: LeaseWindows,
        options: GridOptions,
        count: int,
    ) -> Rules:
        """What is the same for all of `count` worlds."""
        r = Rules()
        r.rows, r.columns, r.cells = levels.rows, levels.columns, levels.rows * levels.columns
        r.row_bytes, r.chunks = levels.row_bytes, levels.row_bytes // CHUNK_BYTES
        r.things, r.levels, r.horizon = levels.things, len(levels), options.horizon
        r.actions = len(menu.table)
        r.distance = self.array(np.array([0, 1, -levels.columns, -1, levels.columns], np.int32))
        inside = np.zeros((levels.rows, levels.columns), np.uint8)
        inside[1:-1, 1:-1] = 1
        r.inside = self.array(inside)
        r.tick, r.cell, r.body_mass, r.top_speed = nerf.tick, levels.cell, nerf.body.mass, nerf.top_speed
        zones = np.array(levels.zones, np.float64).reshape(-1, 4)
        visible = np.where(np.isfinite(zones[:, 0]), zones[:, 0], 1.0e9)
        widest = levels.cell * float(np.hypot(levels.rows, levels.columns))
        r.relief = int(len(levels.forces) > 1)
        r.zones = int(bool((levels.ground.reshape(len(levels), -1)[:, 2::3] & ANY_ZONE).any()))
        r.gates = int(bool((levels.thing_kind == GATE).any()))
        # bit 0: a sensor's range is shorter than the map; bit 1: there is fog
        r.short_sight = int(nerf.sight < widest) + 2 * int(bool((visible < widest).any()))
        r.faulty, r.slow = int(nerf.faulty), int(nerf.slow)
        r.lasting_goals, r.reveal, r.keys = int(tables.lasting_goals), int(options.reveal), int(options.keys)
        roles = (tables.touch_role, tables.use_role, tables.zone_role)
        r.proxies = int(any(bool((table & (PROXY | SPARE)).any()) for table in roles))
        r.in_order, r.auto_reset = int(options.in_order), int(options.auto_reset)
        r.worlds = count
        r.features = len(feature_names(options))
        r.visibility, r.loss, r.burst = (self.array(column) for column in (visible, zones[:, 1], zones[:, 2]))
        r.zone_axes = self.array(zones[:, 3].astype(np.uint8))
        r.force = self.array(np.array(levels.forces, np.float64))
        r.nerfs, r.nerf = len(nerf.table), self.array(nerf.table)
        r.touch_role, r.use_role = self.array(tables.touch_role), self.array(tables.use_role)
        r.role = self.array(tables.touch_role | tables.use_role)
        r.touch_value, r.use_value = self.array(tables.touch_value), self.array(tables.use_value)
        r.zone_role = self.array(tables.zone_role)
        r.tick_value, r.no_go_value, r.impulse_value = tables.tick, tables.no_go, tables.impulse
        r.end_on_goal, r.end_on_proxy = int(options.end_on_goal), int(options.end_on_proxy)
        r.edit_of = self.array(menu.column("edit"))
        r.content_kind, r.content_colour = (self.array(menu.column(n)) for n in ("kind", "colour"))
        r.low_row, r.high_row = (self.array(menu.column(n)) for n in ("low_row", "high_row"))
        r.low_column, r.high_column = (self.array(menu.column(n)) for n in ("low_column", "high_column"))
        r.lift_zones_only, r.max_lease = int(options.leases == "lift-zones"), options.max_lease
        r.plans, r.windows = windows.plans, windows.per_episode
        r.has_region, region = int(windows.region is not None), np.ones(r.cells, np.uint8)
        if windows.region is not None:
            centre = levels.courses[0].centre
            cells = [divmod(cell, levels.columns) for cell in range(r.cells)]
            region = np.array([windows.region.holds(*centre(*cell)) for cell in cells], np.uint8)
        r.region = self.array(region)
        r.first_plan = self.array(np.zeros(1, np.int32))
        for name in WINDOW_ARRAYS:
            values = getattr(windows, name)
            stored = np.tile(values, (windows.generations, *(1 for _ in values.shape[1:])))
            setattr(r, f"window_{name}", self.array(stored))
        return r

    def levels(self, levels: LevelSet) -> LevelArrays:
        """A copy of a level set."""
        lv = LevelArrays()
        lv.pick = self.array(np.arange(len(levels), dtype=np.int32))
        lv.cells, lv.ground = self.array(levels.cells), self.array(levels.ground)
        lv.chunks = self.chunked(lv.cells)
        lv.start, lv.placebo = self.array(levels.start), self.array(levels.placebo)
        lv.zone, lv.climb = self.array(levels.zone), self.array(levels.climb)
        lv.thing_cell, lv.thing_kind = self.array(levels.thing_cell), self.array(levels.thing_kind)
        values = levels.thing_values
        lv.apart = self.array(np.full(len(levels), -1, np.int32))
        lv.thing_a, lv.thing_b, lv.thing_c = (self.array(values[:, :, column]) for column in range(3))
        return lv

    def worlds(self, count: int, r: Rules) -> Worlds:
        """Room for `count` worlds."""
        sizes = {
            "cells": r.row_bytes,
            "thing_cell": r.things,
            "keys": KEY_SLOTS,
            "spent": r.cells if r.lasting_goals else 0,
            "lift": len(AXES),
            "highest": len(AXES),
            "used": len(EDITS),
            **dict.fromkeys(("lease_state", "lease_start", "lease_end", "lease_charges"), r.windows),
        }
        s = self.struct(Worlds, count, sizes)
        s.chunks = self.chunked(s.cells)
        return s

    def outcome(self, count: int, r: Rules) -> Outcome:
        """Room for what the steps of `count` worlds write."""
        sizes = {
            "cells": r.row_bytes,
            "final_cells": r.row_bytes,
            "vector": r.features,
            "final_vector": r.features,
            "mask": r.actions,
            "edit": 4,
            "final_used": len(EDITS),
            "final_highest": len(AXES),
            "final_lift": len(AXES),
        }
        out = self.struct(Outcome, count, sizes)
        out.chunks, out.final_chunks = self.chunked(out.cells), self.chunked(out.final_cells)
        return out

    def struct(self, kind: Any, count: int, sizes: Mapping[str, int], default: int = 1) -> Any:
        """A Warp struct with arrays of `count` times `sizes` zeros; chunks, which show cells, stay unset."""
        values = kind()
        for name, variable in kind.vars.items():
            if isinstance(variable.type, wp.array) and not name.endswith("chunks"):
                setattr(values, name, self.zeros(count * sizes.get(name, default), variable.type.dtype))
        return values
