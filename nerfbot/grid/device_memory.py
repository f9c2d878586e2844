"""The grid's memory on a device: rules and levels are copied there, room for worlds is allocated once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from nerfbot.grid.action_menu import Menu
from nerfbot.grid.codes import COLOURS, GATE
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
from nerfbot.grid.lease_windows import WindowBank
from nerfbot.grid.levels import LevelSet
from nerfbot.grid.scoring import ScoreTables
from nerfbot.limits import AXES
from nerfbot.powers import EDITS

GENERATIONS = 8
"""Banks of windows kept where schedules adapt: running episodes keep theirs while later ones are drawn."""

WINDOW_ARRAYS = ("start", "length", "ramp", "level", "axes", "edits", "charges")
"""The arrays of a bank that kernels read, as ``window_...``."""

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
    """How the worlds behave beside their levels, nerf and task.

    `horizon` in ticks. `leases`: "anywhere" or "lift-zones". `max_lease` s: longer ones are refused.
    `reveal`: whether observation and mask tell what is granted. `keys`: whether observations count keys.
    `in_order`: levels one after another in place of drawn ones. `auto_reset`: whether the step that ends an
    episode begins the next.
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
    told = (*(f"lift {axis}" for axis in AXES), *EDITS, "lease s", "charges") if options.reveal else ()
    return "progress", "phasing", *keys, *told


def generations_of(bank: WindowBank) -> int:
    """How many banks of windows are kept."""
    return GENERATIONS if bank.adapts else 1


class Memory:
    """Arrays on one of Warp's devices."""

    def __init__(self, device: Any) -> None:
        self.device = device

    def zeros(self, size: int, dtype: Any) -> wp.array:
        """`size` zeros, at least one: an empty array has no place that a kernel could be handed."""
        return wp.zeros(max(1, int(size)), dtype=_TYPES.get(np.dtype(dtype), dtype), device=self.device)

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
        bank: WindowBank,
        options: GridOptions,
        count: int,
    ) -> Rules:
        """What holds for every one of `count` worlds."""
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
        r.zones = int(bool((levels.bare.reshape(len(levels), -1)[:, 2::3] & 15).any()))
        r.gates = int(bool((levels.thing_kind == GATE).any()))
        # 2 and 3: there is fog to see through
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
        r.power = self.array(menu.column("edit"))
        r.content_kind, r.content_colour = (self.array(menu.column(n)) for n in ("kind", "colour"))
        r.low_row, r.high_row = (self.array(menu.column(n)) for n in ("low_row", "high_row"))
        r.low_column, r.high_column = (self.array(menu.column(n)) for n in ("low_column", "high_column"))
        r.in_zones, r.longest = int(options.leases == "lift-zones"), options.max_lease
        r.plans, r.windows = bank.plans, bank.windows
        r.bounded, region = int(bank.region is not None), np.ones(r.cells, np.uint8)
        if bank.region is not None:
            place = levels.courses[0].centre
            cells = [divmod(cell, levels.columns) for cell in range(r.cells)]
            region = np.array([bank.region.holds(*place(*cell)) for cell in cells], np.uint8)
        r.region = self.array(region)
        self._put_windows(r, bank)
        return r

    def _put_windows(self, r: Rules, bank: WindowBank) -> None:
        """The bank's windows, with room for later generations of them where schedules adapt."""
        r.first_plan = self.array(np.zeros(1, np.int32))
        for name in WINDOW_ARRAYS:
            values = getattr(bank, name)
            room = np.tile(values, (generations_of(bank), *(1 for _ in values.shape[1:])))
            setattr(r, f"window_{name}", self.array(room))

    def levels(self, levels: LevelSet) -> LevelArrays:
        """A copy of a level set."""
        lv = LevelArrays()
        lv.pick = self.array(np.arange(len(levels), dtype=np.int32))
        lv.cells, lv.bare = self.array(levels.cells), self.array(levels.bare)
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
        s = Worlds()
        s.cells = self.zeros(count * r.row_bytes, np.uint8)
        s.chunks = self.chunked(s.cells)
        sizes = {
            "thing_cell": r.things,
            "keys": KEY_SLOTS,
            "spent": r.cells if r.lasting_goals else 0,
            "lift": len(AXES),
            "highest": len(AXES),
            "used": len(EDITS),
            **dict.fromkeys(("lease_state", "lease_start", "lease_end", "lease_charges"), r.windows),
        }
        for name, variable in _fields(Worlds):
            if name not in ("cells", "chunks"):
                size = count * sizes.get(name, 1)
                setattr(s, name, wp.zeros(max(1, size), dtype=variable.type.dtype, device=self.device))
        return s

    def outcome(self, count: int, r: Rules) -> Outcome:
        """Room for what the steps of `count` worlds write."""
        out = Outcome()
        for name in ("cells", "final_cells"):
            setattr(out, name, self.zeros(count * r.row_bytes, np.uint8))
        out.chunks, out.final_chunks = self.chunked(out.cells), self.chunked(out.final_cells)
        sizes = {
            "vector": r.features,
            "final_vector": r.features,
            "mask": r.actions,
            "edit": 4,
            "final_used": len(EDITS),
            "final_highest": len(AXES),
            "final_lift": len(AXES),
        }
        for name, variable in _fields(Outcome):
            if name not in ("cells", "chunks", "final_cells", "final_chunks"):
                size = count * sizes.get(name, 1)
                setattr(out, name, wp.zeros(max(1, size), dtype=variable.type.dtype, device=self.device))
        return out


def _fields(struct: Any) -> Iterable[tuple[str, Any]]:
    """Name and declared array of every field of a Warp struct."""
    fields: Iterable[tuple[str, Any]] = struct.vars.items()
    return fields
