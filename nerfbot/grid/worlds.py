"""The grid plant: many worlds on one device, stepped by one kernel launch a core (or one on a GPU)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import ArrayLike, NDArray

from nerfbot.errors import InvalidCommand
from nerfbot.grid.action_menu import Menu
from nerfbot.grid.codes import AGENT, WALL
from nerfbot.grid.device import find_device
from nerfbot.grid.device_memory import WINDOW_ARRAYS, DeviceMemory, GridOptions, boxed, feature_names
from nerfbot.grid.grid_nerf import GridNerf
from nerfbot.grid.kernels.state import ACTIVE, KEY_SLOTS, RETURNING, LevelArrays, Outcome, Rules, Worlds
from nerfbot.grid.kernels.step import reset_worlds, step_worlds
from nerfbot.grid.lease_windows import LeaseWindows
from nerfbot.grid.levels import LevelSet
from nerfbot.grid.scoring import ScoreTables
from nerfbot.limits import AXES
from nerfbot.powers import EDITS

__all__ = ["GridOptions", "GridWorlds"]

SLICE = 512
"""The fewest worlds that are worth a thread of their own."""

_STEP_BUFFERS = (
    "vector",
    "mask",
    "reward",
    "terminated",
    "truncated",
    "executed",
    "reasons",
    "contact",
    "edit",
)
_STATE_BUFFERS = ("lift", "granted", "first_contact", "illegal", "level", "cell")
_FINAL = (
    *(
        "first_contact",
        "return",
        "length",
        "apart_steps",
        "rewards",
        "apart_rewards",
        "illegal",
        "used",
        "no_go",
    ),
    *("impulse", "highest", "lift", "granted", "level"),
)


class GridWorlds:
    """`count` worlds of one level set under one nerf, task and menu.

    Buffers are allocated once; every step and reset overwrites them. On a CPU they are NumPy views of the
    memory that the kernels write; on a GPU they are copies that `fetch` renews.

    - observation: `cells` (count, rows, columns, 3) uint8, `vector` (count, features) float32, `mask` (count,
      actions) bool, `reward`, `terminated`, `truncated` (count,)
    - the latest step: `executed`, `reasons`, `contact` (count,), `edit` (count, 4)
    - the worlds now: `lift` (count, 4), `granted` (bits of the edits), `first_contact`, `illegal` edits,
      `level`, `cell` (count,)
    - `final`: summaries of the episodes that the latest step ended, by name

    Args:
        levels: from which resets pick.
        nerf: limits on this grid.
        tables: roles and rewards of contacts.
        menu: actions.
        windows: in which powers are granted.
        options: see `GridOptions`.
        count: of worlds, at least 1.
        seed: of the worlds' random numbers, until `reseed` gives others.
        device: "cpu", "cuda", or a Warp device.
        threads: on a CPU; None takes one a core.

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
    contact: NDArray[np.int32]
    edit: NDArray[np.int32]
    lift: NDArray[np.float64]
    granted: NDArray[np.int32]
    first_contact: NDArray[np.int32]
    illegal: NDArray[np.int32]
    level: NDArray[np.int32]
    cell: NDArray[np.int32]

    def __init__(
        self,
        levels: LevelSet,
        nerf: GridNerf,
        tables: ScoreTables,
        menu: Menu,
        windows: LeaseWindows,
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
        self.levels, self.nerf, self.menu, self.windows, self.options = levels, nerf, menu, windows, options
        self.count = int(count)
        self.device = find_device(device)
        memory = DeviceMemory(self.device)
        self.rules = memory.rules(levels, nerf, tables, menu, windows, options, self.count)
        self.level_arrays = memory.levels(levels)
        self.state = memory.worlds(self.count, self.rules)
        self.out = memory.outcome(self.count, self.rules)
        self._selected = memory.zeros(self.count, wp.bool)
        self._forced_level = memory.zeros(self.count, wp.int32)
        self.reseed(seed)
        self._record_launches(threads)
        self.windows_learned = windows.learned
        self._name_views()

    # Launching

    def _record_launches(self, threads: int | None) -> None:
        """Record the launches once: a step then costs the host a few microseconds a slice."""
        threads = len(os.sched_getaffinity(0)) if threads is None else threads
        slices = 1 if self.device.is_cuda else max(1, min(threads, self.count // SLICE))
        bounds = np.linspace(0, self.count, slices + 1).astype(int)
        arrays = {Worlds: self.state, Rules: self.rules, LevelArrays: self.level_arrays, Outcome: self.out}
        structs = boxed(self.device, arrays)

        def launches(kernel: Any, *more: Any) -> list[Any]:
            return [
                wp.launch(
                    kernel,
                    dim=int(last - first),
                    inputs=[int(first), *structs, *more],
                    device=self.device,
                    record_cmd=True,
                )
                for first, last in itertools.pairwise(bounds)
            ]

        self._steps = launches(step_worlds)
        self._resets = launches(reset_worlds, self._selected, self._forced_level)
        self._pool = ThreadPoolExecutor(slices - 1) if slices > 1 else None

    def _run(self, launches: list[Any]) -> None:
        if self._pool is None:
            launches[0].launch()
            if self.device.is_cuda:
                wp.synchronize_device(self.device)
            return
        # A launch on the CPU releases the interpreter lock, so slices run at the same time.
        others = [self._pool.submit(launch.launch) for launch in launches[1:]]
        launches[0].launch()
        for other in others:
            other.result()

    def _name_views(self) -> None:
        r, out, state = self.rules, self.out, self.state
        self._fetched: list[tuple[Any, Any]] = []
        self.action = self._numpy_view(out.action)
        self.cells, self.final_cells = (self._cells_view(flat) for flat in (out.cells, out.final_cells))
        self.final_vector = self._numpy_view(out.final_vector, r.features)
        widths = {"vector": r.features, "mask": r.actions, "edit": 4, "lift": len(AXES)}
        for struct, names in ((out, _STEP_BUFFERS), (state, _STATE_BUFFERS)):
            for name in names:
                setattr(self, name, self._numpy_view(getattr(struct, name), widths.get(name, 0)))
        widths = {"used": len(EDITS), "highest": len(AXES), "lift": len(AXES)}
        self.final = {
            name: self._numpy_view(getattr(out, f"final_{name}"), widths.get(name, 0)) for name in _FINAL
        }

    def _numpy_view(self, array: wp.array, width: int = 0) -> NDArray[Any]:
        """A NumPy view over a buffer, (count,) or (count, width); `fetch` renews what a GPU shows."""
        if self.device.is_cuda:
            host = wp.zeros_like(array, device="cpu", pinned=True)
            self._fetched.append((host, array))
            array = host
        flat = array.numpy()
        return flat[: self.count * width].reshape(self.count, width) if width else flat[: self.count]

    def _cells_view(self, flat: wp.array) -> NDArray[np.uint8]:
        r = self.rules
        rows = self._numpy_view(flat, r.row_bytes)
        cells: NDArray[np.uint8] = rows[:, : 3 * r.cells].reshape(self.count, r.rows, r.columns, 3)
        assert np.shares_memory(cells, rows)
        return cells

    def view(self, array: wp.array, *shape: int) -> NDArray[Any]:
        """A NumPy array over a buffer: the memory itself on the CPU, a copy of it from a GPU."""
        flat = array.numpy()
        return flat.reshape(shape) if shape else flat

    def fetch(self) -> None:
        """Copy the buffers from a GPU after a step or a reset; on a CPU there is nothing to do."""
        if self._fetched:
            for host, array in self._fetched:
                wp.copy(host, array)
            wp.synchronize_device(self.device)

    # Use

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What each number of the observation's vector is."""
        return feature_names(self.options)

    def reseed(self, seed: int | ArrayLike, worlds: ArrayLike | None = None) -> None:
        """Give `worlds` (numbers; None: all) their seeds, and count their episodes from the first again.

        One seed gives world w that seed plus w.
        """
        numbers = np.arange(self.count) if worlds is None else np.asarray(worlds)
        seeds = np.asarray(seed)
        if seeds.ndim == 0:
            seeds = int(seed) + np.arange(self.count)[numbers]  # type: ignore[arg-type]
        if seeds.shape != numbers.shape:
            raise InvalidCommand(f"seed has the shape {seeds.shape}, not {numbers.shape}")
        all_seeds, episodes = self.state.seed.numpy(), self.state.episode.numpy()
        all_seeds[numbers] = np.array([int(value) % 2**64 for value in seeds.tolist()], np.uint64)
        episodes[numbers] = -1
        if self.device.is_cuda:
            self.state.seed.assign(all_seeds)
            self.state.episode.assign(episodes)

    def reset(self, selected: ArrayLike | None = None, levels: ArrayLike | None = None) -> None:
        """Begin an episode in the `selected` worlds (bool (count,); None: all).

        `levels` (count,) names the level of each; -1, and None for all, draws it. Raises `InvalidCommand`
        for a mask of the wrong shape or a level that does not exist.
        """
        mask = np.ones(self.count, np.bool_) if selected is None else np.asarray(selected)
        if mask.shape != (self.count,) or mask.dtype != np.bool_:
            raise InvalidCommand(
                f"reset: the mask must be bool of the shape ({self.count},), got {mask.dtype} {mask.shape}"
            )
        if levels is None:
            self._forced_level.fill_(-1)
        else:
            self._forced_level.assign(self._checked_levels("reset", levels, self.count, least=-1))
        self._selected.assign(mask)
        self._run(self._resets)

    def draw_from(self, table: ArrayLike) -> None:
        """Let resets draw from these levels (numbers, as many as there are levels; any may be repeated).

        Raises `InvalidCommand` for another shape, or a level that does not exist.
        """
        self.level_arrays.pick.assign(self._checked_levels("draw_from", table, len(self.levels)))

    def _checked_levels(self, name: str, levels: ArrayLike, size: int, least: int = 0) -> NDArray[np.int32]:
        numbers = _whole_numbers(f"{name}: levels", levels, size)
        count = len(self.levels)
        wrong = numbers[(numbers < least) | (numbers >= count)]
        if wrong.size:
            raise InvalidCommand(f"{name}: level {wrong[0]}: the levels are 0 to {count - 1}")
        return numbers.astype(np.int32)

    def write_level(self, level: int, cells: NDArray[np.uint8], start: int) -> None:
        """Replace the bodies of a level from its next reset on; its ground, zones and slopes stay.

        `cells` uint8 (rows, columns, 3), without the agent's bit; `start` is the number of the agent's cell.
        Raises `InvalidCommand` where the level set has blocks, gates or fragile objects, whose properties
        cells do not hold, and for a level, a shape or a start that cannot be.
        """
        r = self.rules
        if self.levels.things:
            raise InvalidCommand("write_level: these levels hold blocks, gates or fragile objects")
        if not 0 <= level < len(self.levels):
            raise InvalidCommand(f"write_level: level {level}: the levels are 0 to {len(self.levels) - 1}")
        if cells.shape != (r.rows, r.columns, 3) or cells.dtype != np.uint8:
            raise InvalidCommand(
                f"write_level: cells must be uint8 of the shape ({r.rows}, {r.columns}, 3),"
                f" got {cells.dtype} {cells.shape}"
            )
        if not 0 <= start < r.cells or bool(cells.reshape(-1, 3)[start, 0] == WALL):
            raise InvalidCommand(f"write_level: start {start}: no open cell of the map")
        arrays = self.level_arrays
        for array, at, values in (
            (arrays.cells, level * r.row_bytes, cells.reshape(-1)),
            (arrays.start, level, np.array([start], np.int32)),
            (arrays.apart, level, np.array([-1], np.int32)),
        ):
            wp.copy(array, wp.array(values, dtype=array.dtype, device="cpu"), dest_offset=at)

    def step(self, actions: ArrayLike | None = None) -> None:
        """One tick of every world. `actions` (count,) whole numbers; None takes what is in `action`.

        An action that is not in the table or not granted does nothing and is counted. Raises
        `InvalidCommand` for the wrong shape or type.
        """
        if actions is not None:
            self.action[:] = _whole_numbers("action", actions, self.count)
            if self.device.is_cuda:
                self.out.action.assign(self.action)
        self._run(self._steps)

    def step_one(self, action: int) -> None:
        """One tick of a single world, by the shortest way: the caller has checked the action."""
        self.action[0] = action
        if self.device.is_cuda:
            self.out.action.assign(self.action)
        self._run(self._steps)

    def leases(self, world: int) -> list[dict[str, Any]]:
        """The leases in force in a world: ``powers``, ``start``, ``end`` (s of the episode), ``charges``."""
        width = self.windows.per_episode
        plan = int(self.view(self.state.plan)[world])
        axes, edits = (
            self.view(array)[plan * width :] for array in (self.rules.window_axes, self.rules.window_edits)
        )
        names = ("lease_state", "lease_start", "lease_end", "lease_charges")
        mine = slice(world * width, (world + 1) * width)
        columns = [self.view(getattr(self.state, name))[mine].tolist() for name in names]
        return [
            {
                "powers": (*_names_of(AXES, int(axes[window])), *_names_of(EDITS, int(edits[window]))),
                "start": start,
                "end": end,
                "charges": None if charges < 0 else charges,
            }
            for window, (state, start, end, charges) in enumerate(zip(*columns, strict=True))
            if state in (ACTIVE, RETURNING)
        ]

    def whole(self, world: int) -> NDArray[np.uint8]:
        """All cells of a world with the agent, in sight or not: (rows, columns, 3) uint8, a copy."""
        r = self.rules
        row = self.view(self.state.cells)[world * r.row_bytes :][: 3 * r.cells].copy()
        row[3 * int(self.view(self.state.cell)[world]) + 2] |= AGENT
        cells: NDArray[np.uint8] = row.reshape(r.rows, r.columns, 3)
        return cells

    # Schedules that adapt

    def report_episodes(self, done: NDArray[np.bool_]) -> None:
        """Report the episodes that are `done`, bool (count,), to adaptive schedules.

        Later episodes get new windows; running ones keep theirs.
        """
        if not self.windows.adapts:
            return
        final = self.final
        harm = final["no_go"] + final["impulse"]
        for world in np.flatnonzero(done).tolist():
            highest = final["highest"][world].tolist()
            self.windows.report(bool(final["rewards"][world]), float(harm[world]), highest)
        if self.windows.learned != self.windows_learned:
            self.refresh_windows()

    def refresh_windows(self) -> bool:
        """Draw the windows of later episodes anew, from what the schedules have learned.

        False where nothing was drawn, because running episodes use windows of every stored generation.
        """
        windows = self.windows
        plans = windows.plans
        used = np.bincount(self.view(self.state.plan) // plans, minlength=windows.generations)
        free = np.flatnonzero(used == 0)
        if not free.size:
            return False
        generation = int(free[0])
        windows.draw()
        self.windows_learned = windows.learned
        for name in WINDOW_ARRAYS:
            values = getattr(windows, name).reshape(-1)
            stored = getattr(self.rules, f"window_{name}")
            stored[generation * values.size : (generation + 1) * values.size].assign(values)
        self.rules.first_plan.assign(np.array([generation * plans], np.int32))
        return True


def _whole_numbers(name: str, values: ArrayLike, size: int) -> NDArray[Any]:
    numbers = np.asarray(values)
    if numbers.shape != (size,) or numbers.dtype.kind not in "iu":
        raise InvalidCommand(
            f"{name} must be whole numbers of the shape ({size},), got {numbers.dtype} {numbers.shape}"
        )
    return numbers


def _names_of(names: Sequence[str], bits: int) -> tuple[str, ...]:
    return tuple(name for index, name in enumerate(names) if bits >> index & 1)
