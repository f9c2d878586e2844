"""Oracles: the shortest way to the goal, and the best return, of every world as it stands.

They search the arrays that the kernels step, on the same device, and use no power. What they can foresee is
exact; what depends on pushing or on time is bounded from both sides, by `Assume`.
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from nerfbot.errors import InvalidCommand
from nerfbot.grid.codes import CHEST
from nerfbot.grid.device_memory import DeviceMemory, boxed
from nerfbot.grid.kernels.oracle import ANYWHERE, FIRST_LAYER, TO_GOAL, TO_PROXY, Search, search_worlds
from nerfbot.grid.kernels.state import GOAL, KEY_SLOTS, LevelArrays, Rules, Worlds
from nerfbot.grid.worlds import GridWorlds


class Assume(enum.Enum):
    """What a search takes gates, blocks and fragile objects for.

    `CLOSED`: they stand where they stand, and every gate is shut; a way found is a way whatever the time, and
    no better than the best. `OPEN`: every gate is open, and what the present strength can push is not there;
    nothing is nearer than that. Where the two agree, and on every level without such things, both are exact.
    """

    CLOSED = 0
    OPEN = 1


class Oracle:
    """Searches the worlds of one plant, or with `at_starts` its levels as their episodes begin.

    Exact for walls, slopes at the present strength, coins, decoys, keys, chests (with the way by a key where
    none is held), markers, zones, and goals that are spent. Goal and proxies are what the task names; where
    meeting one of them ends the episode, ways through it are left out of the search for the other. Chests
    that are not the goal stay shut, and spare keys are judged by the keys held now. Not foreseen: lost, late
    and repeated commands, changes of lift, powers, what phasing allows.

    Args:
        worlds: the plant.
        assume: what gates, blocks and fragile objects are taken for.
        avoid_proxies: whether the search for a goal leaves out ways through proxies; None: only where these
            end the episode.
        at_starts: search the levels of the plant in place of its worlds; `count` is then their number.

    """

    def __init__(
        self,
        worlds: GridWorlds,
        assume: Assume = Assume.CLOSED,
        avoid_proxies: bool | None = None,
        at_starts: bool = False,
    ) -> None:
        self.worlds, self.rules = worlds, worlds.rules
        self.count = len(worlds.levels) if at_starts else worlds.count
        self._state = _level_starts(worlds, self.count) if at_starts else worlds.state
        roles = worlds.view(self.rules.use_role).reshape(-1, KEY_SLOTS)
        layers = 2 if bool((roles[CHEST] & GOAL).any()) else 1
        sizes = dict.fromkeys(("distance", "reached_by", "queue"), layers * self.rules.cells)
        search = DeviceMemory(worlds.device).struct(Search, self.count, sizes)
        search.layers, search.free = layers, assume.value
        self._avoid_proxies = bool(self.rules.end_on_proxy) if avoid_proxies is None else avoid_proxies
        self._search = search

    def moves(self) -> NDArray[np.int32]:
        """Fewest moves to the nearest goal, int32 (count,); -1 where no way leads to one."""
        return self._run("moves", TO_GOAL, self._avoid_proxies)

    def ticks(self) -> NDArray[np.int32]:
        """The same in ticks at the present speed: no fewer, and exact where a cell takes a whole number."""
        return self._run("ticks", TO_GOAL, self._avoid_proxies)

    def moves_to_proxy(self) -> NDArray[np.int32]:
        """Fewest moves to the nearest contact with a proxy, int32 (count,); -1 where no way leads to one."""
        return self._run("moves", TO_PROXY, bool(self.rules.end_on_goal))

    def distances(self) -> NDArray[np.int32]:
        """Fewest moves into every cell, int32 (count, rows, columns); -1 where no way leads.

        For what stands in the way, such as a chest, it is the moves up to running into it.
        """
        nodes = self._run("distance", ANYWHERE, False).reshape(self.count, -1)[:, : self.rules.cells]
        return nodes.reshape(self.count, self.rules.rows, self.rules.columns)

    def optimal_return(self, gamma: float) -> NDArray[np.float64]:
        """Best discounted return for the nearest goal, float64 (count,): ``gamma ** (d - 1)`` of d ticks.

        The reward of the goal counts as 1; 0 where the goal is out of reach or further than the horizon.
        Raises `InvalidCommand` for a discount outside [0, 1].
        """
        if not 0.0 <= gamma <= 1.0:
            raise InvalidCommand(f"gamma must be from 0 to 1, got {gamma!r}")
        ticks = self.ticks()
        left = self.rules.horizon - self.worlds.view(self._state.step)[: self.count]
        in_time = (ticks > 0) & (ticks <= left)
        # The reward of the first step is not discounted: a goal one move away is worth 1.
        return np.where(in_time, float(gamma) ** (np.maximum(ticks, 1) - 1.0), 0.0)

    def path(self, world: int) -> list[int]:
        """The moves (1 to 4) of a shortest way to the nearest goal; empty where there is none."""
        if self._run("moves", TO_GOAL, self._avoid_proxies)[world] < 0:
            return []
        cells, nodes = self.rules.cells, self._search.layers * self.rules.cells
        reached_by, distance = (
            self._read(name).reshape(-1, nodes)[world] for name in ("reached_by", "distance")
        )
        step = self.worlds.view(self.rules.distance)
        node, path = int(self._read("last_node")[world]), [int(self._read("command")[world])]
        while distance[node] > 0:
            command = int(reached_by[node]) & ~FIRST_LAYER
            path.append(command)
            node -= int(step[command]) + (cells if reached_by[node] & FIRST_LAYER else 0)
        return path[::-1]

    def _run(self, name: str, target: int, avoid_others: bool) -> NDArray[Any]:
        """Search, and read one of the arrays of `Search`."""
        search, device = self._search, self.worlds.device
        search.target, search.avoid_others = target, int(avoid_others)
        levels = self.worlds.level_arrays
        structs = boxed(device, {Worlds: self._state, Rules: self.rules, LevelArrays: levels, Search: search})
        wp.launch(search_worlds, dim=self.count, inputs=[0, *structs], device=device)
        return self._read(name)

    def _read(self, name: str) -> NDArray[Any]:
        values: NDArray[Any] = getattr(self._search, name).numpy().copy()
        return values


def _level_starts(worlds: GridWorlds, count: int) -> Worlds:
    """One world a level, as its episode begins, nerfed by the first draw, over the levels' own memory."""
    levels, memory = worlds.level_arrays, DeviceMemory(worlds.device)
    sizes = {"keys": KEY_SLOTS, "spent": worlds.rules.cells, "lift": 4, "nerf": 1, "progress": 1, "step": 1}
    state = memory.struct(Worlds, count, sizes, default=0)
    state.cells, state.chunks = levels.cells, levels.chunks
    state.cell, state.thing_cell = levels.start, levels.thing_cell
    state.level = memory.array(np.arange(count, dtype=np.int32))
    return state
