"""The grid plant: many worlds on one device, stepped by one kernel launch a core (or one on a GPU)."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import ArrayLike, NDArray

from nerfbot.errors import InvalidCommand
from nerfbot.grid.action_menu import Menu
from nerfbot.grid.codes import AGENT, WALL
from nerfbot.grid.device import find_device
from nerfbot.grid.device_memory import WINDOW_ARRAYS, GridOptions, Memory, feature_names, generations_of
from nerfbot.grid.grid_nerf import GridNerf
from nerfbot.grid.kernels.state import ACTIVE, KEY_SLOTS, RETURNING, LevelArrays, Outcome, Rules, Worlds
from nerfbot.grid.kernels.step import reset_worlds, step_worlds
from nerfbot.grid.lease_windows import WindowBank
from nerfbot.grid.levels import LevelSet
from nerfbot.grid.scoring import ScoreTables
from nerfbot.limits import AXES
from nerfbot.powers import EDITS

__all__ = ["GridOptions", "GridWorlds"]

SLICE = 512
"""Fewest worlds worth a thread of their own."""

_TOLD = ("vector", "mask", "reward", "terminated", "truncated", "executed", "reasons", "contact", "edit")
_TOLD_STATE = ("lift", "granted", "first", "illegal", "level", "cell")
_FINAL = (
    *("first", "return", "length", "apart_steps", "rewards", "apart_rewards", "illegal", "used", "no_go"),
    *("impulse", "highest", "lift", "granted", "level"),
)


class GridWorlds:
    """`count` worlds of one level set under one nerf, task and menu.

    Buffers are allocated once. `cells` (count, rows, columns, 3) uint8, `vector` (count, features) float32,
    `mask` (count, actions) bool, `reward`, `terminated`, `truncated` (count,) are overwritten by every step
    and by every reset; on the CPU they are NumPy views of the memory the kernels write (on a GPU, of a copy
    that `fetch` renews), and `torch_view` shows the same memory to torch on either device. `executed`,
    `reasons`, `contact` and `edit` (count, 4) tell of the latest step, `lift` (count, 4), `granted` (bits of
    the edits), `first` contact, `illegal` edits, `level` and `cell` how the worlds stand; `final` holds what
    the episodes came to that the latest step ended.

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
    contact: NDArray[np.int32]
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
        self.device = find_device(device)
        memory = Memory(self.device)
        self.rules = memory.rules(levels, nerf, tables, menu, bank, options, self.count)
        self.level_arrays = memory.levels(levels)
        self.state = memory.worlds(self.count, self.rules)
        self.out = memory.outcome(self.count, self.rules)
        self._chosen = memory.zeros(count, np.bool_)
        self._forced = memory.zeros(count, np.int32)
        self.reseed(seed)
        self._launches(threads)
        self.windows_learned = bank.learned
        self._name_views()

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
            (LevelArrays, self.level_arrays),
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
        self.action = self._seen(out.action)
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
        return feature_names(self.options)

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

    def draw_from(self, table: ArrayLike) -> None:
        """What resets draw levels from: numbers of levels, as many as there are levels, each as often as
        wanted.

        Raises `InvalidCommand` for another shape, or a level that does not exist.
        """
        wanted, count = np.asarray(table), len(self.levels)
        if wanted.shape != (count,) or wanted.dtype.kind not in "iu":
            raise InvalidCommand(
                f"draw_from: must be whole numbers of the shape ({count},), got {wanted.dtype} {wanted.shape}"
            )
        if wanted.min() < 0 or wanted.max() >= count:
            bad = wanted[(wanted < 0) | (wanted >= count)][0]
            raise InvalidCommand(f"draw_from: level {bad}: the levels are 0 to {count - 1}")
        self.level_arrays.pick.assign(wanted.astype(np.int32))

    def write_level(self, level: int, cells: NDArray[np.uint8], start: int) -> None:
        """Let a level hold other bodies from its next reset on; its ground, zones and slopes stay.

        `cells` uint8 (rows, columns, 3), without the agent's bit; `start` is the number of the agent's cell.
        Things with properties (blocks, gates, fragile objects) cannot be written so: raises `InvalidCommand`
        where the set has any, and for a level, a shape or a start that cannot be.
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
        arrays, first = self.level_arrays, level * r.row_bytes
        for array, at, values in (
            (arrays.cells, first, cells.reshape(-1)),
            (arrays.start, level, np.array([start], np.int32)),
            (arrays.apart, level, np.array([-1], np.int32)),
        ):
            wp.copy(array, wp.array(values, dtype=array.dtype, device="cpu"), dest_offset=at)

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
            self.action[:] = given
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
        if bank.learned != self.windows_learned:
            self.refresh_windows()

    def refresh_windows(self) -> bool:
        """Draw the windows of later episodes anew, from what the schedules have learned.

        False where nothing was done, because running episodes have windows of every generation that is kept.
        """
        plans = self.bank.plans
        used = np.bincount(self.view(self.state.plan) // plans, minlength=generations_of(self.bank))
        free = np.flatnonzero(used == 0)
        if not free.size:
            return False
        following = int(free[0])
        self.bank.fill()
        self.windows_learned = self.bank.learned
        for name in WINDOW_ARRAYS:
            values = getattr(self.bank, name).reshape(-1)
            kept = getattr(self.rules, f"window_{name}")
            kept[following * values.size : (following + 1) * values.size].assign(values)
        self.rules.first_plan.assign(np.array([following * plans], np.int32))
        return True
