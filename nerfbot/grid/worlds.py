"""The grid plant: many worlds on one device, stepped by one kernel launch a core (or one on a GPU)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import ArrayLike, NDArray

from nerfbot.errors import InvalidCommand
from nerfbot.grid.codes import AGENT, COLOURS
from nerfbot.grid.kernel import reset_worlds, step_worlds
from nerfbot.grid.levels import LevelSet
from nerfbot.grid.mapping import GridNerf
from nerfbot.grid.menu import Menu
from nerfbot.grid.scoring import ScoreTables
from nerfbot.grid.state import (
    ACTIVE,
    CHUNK,
    CHUNK_BYTES,
    KEY_SLOTS,
    PROXY,
    RETURNING,
    SPARE,
    LevelArrays,
    Outcome,
    Rules,
    Worlds,
)
from nerfbot.grid.windows import WindowBank
from nerfbot.limits import AXES
from nerfbot.powers import EDITS

GENERATIONS = 8
"""Banks of windows kept where schedules adapt: running episodes keep theirs while later ones are drawn."""

SLICE = 512
"""Fewest worlds worth a thread of their own."""

_INFO, _WARNING = 20, 30
"""Levels of Warp's messages: its default, and what is heard of it here."""

_WINDOW_ARRAYS = ("start", "length", "ramp", "level", "axes", "edits", "charges")

_TOLD = ("vector", "mask", "reward", "terminated", "truncated", "executed", "reasons", "edit")
_TOLD_STATE = ("lift", "granted", "first", "illegal", "level", "cell")
_FINAL = (
    *("first", "return", "length", "apart_steps", "rewards", "apart_rewards", "illegal", "used", "no_go"),
    *("impulse", "highest", "lift", "granted", "level"),
)

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


class GridWorlds:
    """`count` worlds of one level set under one nerf, task and menu.

    Buffers are allocated once. `cells` (count, rows, columns, 3) uint8, `vector` (count, features) float32,
    `mask` (count, actions) bool, `reward`, `terminated`, `truncated` (count,) are overwritten by every step
    and by every reset; on the CPU they are NumPy views of the memory the kernels write (on a GPU, of a copy
    that `fetch` renews), and `torch_view` shows the same memory to torch on either device. `executed`,
    `reasons` and `edit` (count, 4) tell of the latest step, `lift` (count, 4), `granted` (bits of the edits),
    `first` contact, `illegal` edits, `level` and `cell` how the worlds stand; `final` holds what the
    episodes came to that the latest step ended.

    Args:
        levels: what a reset picks from.
        nerf: limits on this grid.
        tables: roles and rewards of contacts.
        menu: actions.
        bank: windows in which powers are granted.
        options: see `GridOptions`.
        count: of worlds, at least 1.
        seed: of the worlds' random numbers until a reset gives others.
        device: "cpu", "cuda", or a Warp device.
        threads: of a CPU; None takes one a core.

    """

    action: NDArray[np.int64]
    cells: NDArray[np.uint8]
    vector: NDArray[np.float32]
    final_cells: NDArray[np.uint8]
    final_vector: NDArray[np.float32]
    mask: NDArray[np.bool_]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    executed: NDArray[np.int32]
    reasons: NDArray[np.int32]
    edit: NDArray[np.int32]
    lift: NDArray[np.float64]
    granted: NDArray[np.int32]
    first: NDArray[np.int32]
    illegal: NDArray[np.int32]
    level: NDArray[np.int32]
    cell: NDArray[np.int32]

    def __init__(
        self,
        levels: LevelSet,
        nerf: GridNerf,
        tables: ScoreTables,
        menu: Menu,
        bank: WindowBank,
        options: GridOptions,
        count: int = 1,
        seed: int = 0,
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            raise InvalidCommand(f"num_envs must be a whole number from 1, got {count!r}")
        if max(levels.row_bytes, KEY_SLOTS * 4, len(menu.table)) * count >= 2**31:
            raise InvalidCommand(f"num_envs = {count}: rows of {levels.row_bytes} bytes would pass 2 GiB")
        self.levels, self.nerf, self.menu, self.bank, self.options = levels, nerf, menu, bank, options
        self.count = int(count)
        self.device = _device(device)
        self.rules = self._rules(tables)
        self._level_arrays = self._put_levels()
        self.state = self._allocate_worlds()
        self.out = self._allocate_outcome()
        self._chosen = self._zeros(count, np.bool_)
        self._forced = self._zeros(count, np.int32)
        self.reseed(seed)
        self._launches(threads)
        self._windows_learned = bank.learned
        self._name_views()

    # Arrays

    def _zeros(self, size: int, dtype: Any) -> wp.array:
        return wp.zeros(max(1, int(size)), dtype=_TYPES.get(np.dtype(dtype), dtype), device=self.device)

    def _array(self, values: NDArray[Any]) -> wp.array:
        flat = np.ascontiguousarray(values).reshape(-1)
        flat = flat if flat.size else np.zeros(1, flat.dtype)
        return wp.array(flat, dtype=_TYPES[flat.dtype], device=self.device, copy=True)

    def _chunked(self, flat: wp.array) -> wp.array:
        return wp.array(
            ptr=flat.ptr, dtype=CHUNK, shape=(flat.size // CHUNK_BYTES,), device=self.device, copy=False
        )

    def _rules(self, tables: ScoreTables) -> Rules:
        levels, nerf, bank, options = self.levels, self.nerf, self.bank, self.options
        r = Rules()
        r.rows, r.columns, r.cells = levels.rows, levels.columns, levels.rows * levels.columns
        r.row_bytes, r.chunks = levels.row_bytes, levels.row_bytes // CHUNK_BYTES
        r.things, r.levels, r.horizon = levels.things, len(levels), options.horizon
        r.actions = len(self.menu.table)
        r.distance = self._array(np.array([0, 1, -levels.columns, -1, levels.columns], np.int32))
        r.tick, r.cell, r.body_mass, r.top_speed = nerf.tick, levels.cell, nerf.body.mass, nerf.top_speed
        zones = np.array(levels.zones, np.float64).reshape(-1, 4)
        visible = np.where(np.isfinite(zones[:, 0]), zones[:, 0], 1.0e9)
        widest = levels.cell * float(np.hypot(levels.rows, levels.columns))
        r.relief = int(len(levels.forces) > 1)
        r.zones = int(bool((levels.bare.reshape(len(levels), -1)[:, 2::3] & 15).any()))
        r.gates = int(bool((levels.thing_kind == 4).any()))
        r.short_sight = int(nerf.sight < widest or bool((visible < widest).any()))
        r.faulty = int(nerf.faulty)
        r.lasting_goals, r.reveal, r.keys = int(tables.lasting_goals), int(options.reveal), int(options.keys)
        roles = (tables.touch_role, tables.use_role, tables.zone_role)
        r.proxies = int(any(bool((table & (PROXY | SPARE)).any()) for table in roles))
        r.in_order, r.auto_reset = int(options.in_order), int(options.auto_reset)
        r.worlds = self.count
        r.features = len(self.feature_names)
        r.visibility, r.loss, r.burst = (
            self._array(column) for column in (visible, zones[:, 1], zones[:, 2])
        )
        r.zone_axes = self._array(zones[:, 3].astype(np.uint8))
        r.force = self._array(np.array(levels.forces, np.float64))
        r.nerfs, r.nerf = len(nerf.table), self._array(nerf.table)
        r.touch_role, r.use_role = self._array(tables.touch_role), self._array(tables.use_role)
        r.touch_value, r.use_value = self._array(tables.touch_value), self._array(tables.use_value)
        r.zone_role = self._array(tables.zone_role)
        r.tick_value, r.no_go_value, r.impulse_value = tables.tick, tables.no_go, tables.impulse
        r.end_on_goal, r.end_on_proxy = int(options.end_on_goal), int(options.end_on_proxy)
        r.power = self._array(self.menu.column("edit"))
        r.content_kind, r.content_colour = (self._array(self.menu.column(n)) for n in ("kind", "colour"))
        r.low_row, r.high_row = (self._array(self.menu.column(n)) for n in ("low_row", "high_row"))
        r.low_column, r.high_column = (
            self._array(self.menu.column(n)) for n in ("low_column", "high_column")
        )
        r.in_zones, r.longest = int(options.leases == "lift-zones"), options.max_lease
        r.plans, r.windows = bank.plans, bank.windows
        r.bounded, region = int(bank.region is not None), np.ones(r.cells, np.uint8)
        if bank.region is not None:
            place = levels.courses[0].centre
            cells = [divmod(cell, levels.columns) for cell in range(r.cells)]
            region = np.array([bank.region.holds(*place(*cell)) for cell in cells], np.uint8)
        r.region = self._array(region)
        self._put_windows(r)
        return r

    def _put_windows(self, r: Rules) -> None:
        """Put the bank's windows on the device, with room for later generations where schedules adapt."""
        self._generations = GENERATIONS if self.bank.adapts else 1
        r.first_plan = self._array(np.zeros(1, np.int32))
        for name in _WINDOW_ARRAYS:
            values = getattr(self.bank, name)
            room = np.tile(values, (self._generations, *(1 for _ in values.shape[1:])))
            setattr(r, f"window_{name}", self._array(room))

    def _put_levels(self) -> LevelArrays:
        levels, lv = self.levels, LevelArrays()
        lv.cells, lv.bare = self._array(levels.cells), self._array(levels.bare)
        lv.chunks = self._chunked(lv.cells)
        lv.start, lv.placebo = self._array(levels.start), self._array(levels.placebo)
        lv.zone, lv.climb = self._array(levels.zone), self._array(levels.climb)
        lv.thing_cell, lv.thing_kind = self._array(levels.thing_cell), self._array(levels.thing_kind)
        values = levels.thing_values
        lv.thing_a, lv.thing_b, lv.thing_c = (self._array(values[:, :, column]) for column in range(3))
        return lv

    def _allocate_worlds(self) -> Worlds:
        s, count, r = Worlds(), self.count, self.rules
        s.cells = self._zeros(count * r.row_bytes, np.uint8)
        s.chunks = self._chunked(s.cells)
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

    def _allocate_outcome(self) -> Outcome:
        out, count, r = Outcome(), self.count, self.rules
        for name in ("cells", "final_cells"):
            setattr(out, name, self._zeros(count * r.row_bytes, np.uint8))
        out.chunks, out.final_chunks = self._chunked(out.cells), self._chunked(out.final_cells)
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
            if getattr(out, name) is None or name not in ("cells", "chunks", "final_cells", "final_chunks"):
                size = count * sizes.get(name, 1)
                setattr(out, name, wp.zeros(max(1, size), dtype=variable.type.dtype, device=self.device))
        return out

    # Launching

    def _launches(self, threads: int | None) -> None:
        """Record the launches once: what a step costs on the host is then a few microseconds a slice."""
        wanted = len(os.sched_getaffinity(0)) if threads is None else threads
        slices = 1 if self.device.is_cuda else max(1, min(wanted, self.count // SLICE))
        bounds = np.linspace(0, self.count, slices + 1).astype(int)
        self._steps: list[Any] = []
        self._resets: list[Any] = []
        # The kernels read the structs through arrays of one: by value they would be copied in every call.
        held = (
            (Worlds, self.state),
            (Rules, self.rules),
            (LevelArrays, self._level_arrays),
            (Outcome, self.out),
        )
        boxed = [wp.array([value], dtype=kind, device=self.device) for kind, value in held]
        for first, last in itertools.pairwise(bounds):
            shared = [int(first), *boxed]
            more = [*shared, self._chosen, self._forced]
            for kernel, inputs, kept in (
                (step_worlds, shared, self._steps),
                (reset_worlds, more, self._resets),
            ):
                kept.append(
                    wp.launch(
                        kernel, dim=int(last - first), inputs=inputs, device=self.device, record_cmd=True
                    )
                )
        self._pool = ThreadPoolExecutor(slices - 1) if slices > 1 else None

    def _run(self, launches: list[Any]) -> None:
        if self._pool is None:
            launches[0].launch()
            if self.device.is_cuda:
                wp.synchronize_device(self.device)
            return
        # A CPU launch holds no interpreter lock, so that the slices run beside one another.
        others = [self._pool.submit(launch.launch) for launch in launches[1:]]
        launches[0].launch()
        for other in others:
            other.result()

    def _name_views(self) -> None:
        r, out, state = self.rules, self.out, self.state
        self._fetched: list[tuple[Any, Any]] = []
        self.action = self.view(out.action)
        self.cells, self.final_cells = (self._cells_view(flat) for flat in (out.cells, out.final_cells))
        self.final_vector = self._seen(out.final_vector, r.features)
        widths = {"vector": r.features, "mask": r.actions, "edit": 4, "lift": len(AXES)}
        for struct, names in ((out, _TOLD), (state, _TOLD_STATE)):
            for name in names:
                setattr(self, name, self._seen(getattr(struct, name), widths.get(name, 0)))
        widths = {"used": len(EDITS), "highest": len(AXES), "lift": len(AXES)}
        self.final = {name: self._seen(getattr(out, f"final_{name}"), widths.get(name, 0)) for name in _FINAL}

    def _seen(self, array: wp.array, width: int = 0) -> NDArray[Any]:
        """A NumPy view over a buffer, (count,) or (count, width); `fetch` renews what a GPU shows."""
        if self.device.is_cuda:
            host = wp.zeros_like(array, device="cpu", pinned=True)
            self._fetched.append((host, array))
            array = host
        flat = array.numpy()
        return flat[: self.count * width].reshape(self.count, width) if width else flat[: self.count]

    def _cells_view(self, flat: wp.array) -> NDArray[np.uint8]:
        r = self.rules
        rows = self._seen(flat, r.row_bytes)
        seen: NDArray[np.uint8] = rows[:, : 3 * r.cells].reshape(self.count, r.rows, r.columns, 3)
        assert np.shares_memory(seen, rows)
        return seen

    def view(self, array: wp.array, *shape: int) -> NDArray[Any]:
        """A NumPy array over a buffer: the memory itself on the CPU, a copy of it from a GPU."""
        flat = array.numpy()
        return flat.reshape(shape) if shape else flat

    def fetch(self) -> None:
        """Bring what NumPy sees up to date; only a GPU needs it, after a step or a reset."""
        if self._fetched:
            for host, array in self._fetched:
                wp.copy(host, array)
            wp.synchronize_device(self.device)

    # Use

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What each number of the observation's vector is."""
        keys = tuple(f"{colour} keys" for colour in COLOURS) if self.options.keys else ()
        told = (
            (*(f"lift {axis}" for axis in AXES), *EDITS, "lease s", "charges") if self.options.reveal else ()
        )
        return "progress", "phasing", *keys, *told

    def reseed(self, seed: int | ArrayLike, worlds: ArrayLike | None = None) -> None:
        """Give worlds (all by default) their seeds: one for each, or one from which theirs follow by number.

        Their episodes are counted from the first again.
        """
        chosen = np.arange(self.count) if worlds is None else np.asarray(worlds)
        seeds = np.asarray(seed)
        if seeds.ndim == 0:
            # World w of a batch draws what a single world of seed + w draws.
            seeds = int(seed) + np.arange(self.count)[chosen]  # type: ignore[arg-type]
        if seeds.shape != chosen.shape:
            raise InvalidCommand(f"seed has the shape {seeds.shape}, not {chosen.shape}")
        words, episodes = self.state.seed.numpy(), self.state.episode.numpy()
        words[chosen] = np.array([int(value) % 2**64 for value in seeds.tolist()], np.uint64)
        episodes[chosen] = -1
        if self.device.is_cuda:
            self.state.seed.assign(words)
            self.state.episode.assign(episodes)

    def reset(self, chosen: ArrayLike | None = None, levels: ArrayLike | None = None) -> None:
        """Begin an episode in the worlds `chosen` (bool (count,); None: all).

        `levels` (count,) names the level of each; -1, and None for all, draws it. Raises `InvalidCommand`
        for a mask of the wrong shape or a level that does not exist.
        """
        mask = np.ones(self.count, np.bool_) if chosen is None else np.asarray(chosen)
        if mask.shape != (self.count,) or mask.dtype != np.bool_:
            raise InvalidCommand(
                f"reset: the mask must be bool of the shape ({self.count},), got {mask.dtype} {mask.shape}"
            )
        wanted = np.full(self.count, -1) if levels is None else np.asarray(levels)
        if wanted.shape != (self.count,) or wanted.dtype.kind not in "iu":
            raise InvalidCommand(
                f"reset: levels must be whole numbers of the shape ({self.count},),"
                f" got {wanted.dtype} {wanted.shape}"
            )
        if wanted.min() < -1 or wanted.max() >= len(self.levels):
            bad = wanted[(wanted < -1) | (wanted >= len(self.levels))][0]
            raise InvalidCommand(f"reset: level {bad}: the levels are 0 to {len(self.levels) - 1}")
        self._chosen.assign(mask)
        self._forced.assign(wanted.astype(np.int32))
        self._run(self._resets)

    def step(self, actions: ArrayLike | None = None) -> None:
        """One tick of every world. `actions` (count,) whole numbers; None takes what is in `action`.

        An action outside the table, or not granted, does nothing and is counted. Raises `InvalidCommand` for
        the wrong shape or type.
        """
        if actions is not None:
            given = np.asarray(actions)
            if given.shape != (self.count,) or given.dtype.kind not in "iu":
                raise InvalidCommand(
                    f"action must be whole numbers of the shape ({self.count},),"
                    f" got {given.dtype} {given.shape}"
                )
            if self.device.is_cuda:
                self.out.action.assign(given.astype(np.int64))
            else:
                self.action[:] = given
        self._run(self._steps)

    def step_one(self, action: int) -> None:
        """One tick of a single world, by the shortest way: the caller has checked the action."""
        self.action[0] = action
        if self.device.is_cuda:
            self.out.action.assign(self.action)
        self._run(self._steps)

    def leases(self, world: int) -> list[dict[str, Any]]:
        """The leases in force in a world: ``powers``, ``start``, ``end`` (s of the episode), ``charges``."""
        held = []
        width = self.bank.windows
        row = int(self.view(self.state.plan)[world]) * width
        axes, edits = self.view(self.rules.window_axes), self.view(self.rules.window_edits)
        state = self.view(self.state.lease_state)
        start, end = self.view(self.state.lease_start), self.view(self.state.lease_end)
        charges = self.view(self.state.lease_charges)
        for window in range(width):
            at = world * width + window
            if state[at] in (ACTIVE, RETURNING):
                bits = int(axes[row + window]), int(edits[row + window])
                named = [name for i, name in enumerate(AXES) if bits[0] >> i & 1]
                named += [name for i, name in enumerate(EDITS) if bits[1] >> i & 1]
                left = int(charges[at])
                held.append(
                    {
                        "powers": tuple(named),
                        "start": float(start[at]),
                        "end": float(end[at]),
                        "charges": None if left < 0 else left,
                    }
                )
        return held

    def whole(self, world: int) -> NDArray[np.uint8]:
        """All cells of a world with the agent, whatever is in sight: (rows, columns, 3) uint8, a copy."""
        r = self.rules
        row = self.view(self.state.cells)[world * r.row_bytes :][: 3 * r.cells].copy()
        row[3 * int(self.view(self.state.cell)[world]) + 2] |= AGENT
        whole: NDArray[np.uint8] = row.reshape(r.rows, r.columns, 3)
        return whole

    def torch_view(self, name: str) -> Any:
        """A buffer of `Outcome` by its name, as a torch tensor over the same memory, on the same device."""
        array = getattr(self.out, name)
        flat = wp.to_torch(array)
        r = self.rules
        if name in ("cells", "final_cells"):
            rows = flat.view(self.count, r.row_bytes)[:, : 3 * r.cells]
            return rows.view(self.count, r.rows, r.columns, 3)
        return (
            flat.view(self.count, -1).squeeze(1) if flat.numel() == self.count else flat.view(self.count, -1)
        )

    def learn(self, ended: NDArray[np.bool_]) -> None:
        """Tell adaptive schedules how the episodes that `ended`, bool (count,), went; windows follow.

        An episode keeps the windows that it began with.
        """
        bank = self.bank
        if not bank.adapts:
            return
        final = self.final
        harm = final["no_go"] + final["impulse"]
        for world in np.flatnonzero(ended).tolist():
            bank.learn(bool(final["rewards"][world]), float(harm[world]), final["highest"][world].tolist())
        if bank.learned != self._windows_learned:
            self.refresh_windows()

    def refresh_windows(self) -> bool:
        """Draw the windows of later episodes anew, from what the schedules have learned.

        False where nothing was done, because running episodes have windows of every generation that is kept.
        """
        plans = self.bank.plans
        used = np.bincount(self.view(self.state.plan) // plans, minlength=self._generations)
        free = np.flatnonzero(used == 0)
        if not free.size:
            return False
        following = int(free[0])
        self.bank.fill()
        self._windows_learned = self.bank.learned
        for name in _WINDOW_ARRAYS:
            values = getattr(self.bank, name).reshape(-1)
            kept = getattr(self.rules, f"window_{name}")
            kept[following * values.size : (following + 1) * values.size].assign(values)
        self.rules.first_plan.assign(np.array([following * plans], np.int32))
        return True


def _fields(struct: Any) -> Iterable[tuple[str, Any]]:
    """Name and declared array of every field of a Warp struct."""
    fields: Iterable[tuple[str, Any]] = struct.vars.items()
    return fields


def _device(name: str) -> Any:
    # Warp announces itself on the standard output, where it would stand in the midst of a command's JSON.
    if getattr(wp.config, "log_level", _INFO) == _INFO:
        wp.config.log_level = _WARNING
    wp.init()
    try:
        if name.startswith("cuda") and not wp.is_cuda_available():
            raise ValueError  # asked for it, Warp would print the driver's errors first
        return wp.get_device(name)
    except (RuntimeError, ValueError):
        known = ", ".join(str(device) for device in wp.get_devices())
        raise InvalidCommand(f"device: {name!r} is not there (there are: {known})") from None
