"""Curricula: who decides which levels the worlds begin their next episodes on.

Each is a hook of the learner that writes the table from which resets draw levels. The base class draws every
level as often as every other, and changes nothing.
"""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nerfbot.agents.hooks import Hook
from nerfbot.agents.rollout import Rollout
from nerfbot.agents.state_dict import Stateful
from nerfbot.agents.tensor_env import TensorVectorEnv
from nerfbot.course import Course
from nerfbot.course.drawing import put
from nerfbot.course.elements import Element, Wall
from nerfbot.errors import InvalidCommand
from nerfbot.grid.codes import AGENT
from nerfbot.grid.levels import Split, has_a_way
from nerfbot.grid.painting import paint
from nerfbot.grid.worlds import GridWorlds


class Curriculum(Hook, Stateful):
    """Base: every level as often as every other. `spare`: rows that it needs beside the given levels.

    The table of levels that resets draw from is the worlds' state, not the curriculum's.
    """

    name = "Curriculum"
    """Its kind, as a checkpoint has it."""

    spare = 0
    state_keys = ("curriculum",)
    state_names: ClassVar[tuple[str, ...]] = ("random",)

    def start(self, env: TensorVectorEnv, steps: int, seed: int) -> None:
        """Make ready. Raises `InvalidCommand` for other worlds than the grid's."""
        worlds = getattr(env.env, "worlds", None)
        if worlds is None:
            raise InvalidCommand("curriculum: only the grid's worlds can be told which levels to draw")
        self.worlds: GridWorlds = worlds
        self.count, self.moves = len(worlds.levels), env.moves
        self.random = np.random.default_rng([seed, 0xC0])
        self.level = np.zeros((steps, worlds.count), np.int64)

    def parts(self) -> tuple[Any, ...]:
        """Itself."""
        return (self,)

    def settings(self) -> dict[str, str]:
        """The kind of curriculum."""
        return {"curriculum": self.name}

    def act(self, rollout: Rollout, step: int, action: Tensor) -> Tensor:
        """Note the levels that this step is played on."""
        self.level[step] = self.worlds.level
        return action


class LevelReplay(Curriculum):
    """Prioritised level replay (Jiang et al. 2021): levels come back by how much was to be learned from them.

    A level's score is the mean positive part of the advantages on it. A share `replayed` of the table is
    drawn by P = (1 - `stale`) rank(score)**(-1 / `temperature`) + `stale` x the time since it was played,
    among the levels that were played; the rest uniformly among all.
    """

    name = "LevelReplay"
    state_names: ClassVar[tuple[str, ...]] = ("score", "played", "turn")

    def __init__(self, replayed: float = 0.5, temperature: float = 0.3, stale: float = 0.3) -> None:
        self.replayed, self.temperature, self.stale = replayed, temperature, stale

    def start(self, env: TensorVectorEnv, steps: int, seed: int) -> None:
        """Nothing was played yet."""
        super().start(env, steps, seed)
        self.score = np.zeros(self.count)
        self.played = np.full(self.count, -1, np.int64)
        self.turn = 0

    def learn(self, rollout: Rollout, taken: int) -> dict[str, float]:
        """Score the levels of this rollout, and draw the table anew."""
        gain = rollout.advantages["task"].clamp_min(0.0).cpu().numpy().reshape(-1)
        level = self.level.reshape(-1)
        times = np.bincount(level, minlength=self.count)
        sums = np.bincount(level, weights=gain, minlength=self.count)
        here = times > 0
        self.score[here] = sums[here] / times[here]
        self.played[here] = self.turn
        self.turn += 1
        self.worlds.draw_from(self._table())
        return {}

    def _table(self) -> NDArray[np.int64]:
        again = round(self.replayed * self.count)
        back = self.random.choice(self.count, again, p=self._priorities())
        return np.concatenate([back, self._fresh(self.count - again)])

    def _fresh(self, count: int) -> NDArray[np.int64]:
        """Levels by chance."""
        return self.random.integers(self.count, size=count)

    def _priorities(self) -> NDArray[np.float64]:
        """Shape: (levels,), adding up to 1; 0 for what was never played."""
        known = np.flatnonzero(self.played >= 0)
        ranks = np.empty(len(known))
        ranks[np.argsort(-self.score[known], kind="stable")] = np.arange(1, len(known) + 1)
        by_score = ranks ** (-1.0 / self.temperature)
        age = self.turn - self.played[known].astype(float)
        shares = np.zeros(self.count)
        shares[known] = (1 - self.stale) * by_score / by_score.sum() + self.stale * age / age.sum()
        return shares


class Accel(LevelReplay):
    """ACCEL (Parker-Holder et al. 2022): levels worth replaying are also edited, and the results played.

    After each rollout `children` of the best levels are changed in up to `edits` cells, where a wall is added
    or removed, and written over the lowest-scored of the `spare` rows. What all training levels have in
    common (where the coin lies, how it looks) is not edited: a child is a solvable level of the training
    split.
    """

    name = "Accel"
    state_names = ("born", "origin")

    def __init__(self, spare: int = 1024, children: int = 16, edits: int = 5, **replay: float) -> None:
        super().__init__(**replay)
        self.spare, self.children, self.edits = spare, children, edits

    def start(self, env: TensorVectorEnv, steps: int, seed: int) -> None:
        """The spare rows hold copies of given levels until children come."""
        super().start(env, steps, seed)
        self.courses = list(self.worlds.levels.courses)
        self.originals = self.count - self.spare
        self.born = 0
        self.origin = np.arange(self.count) % self.originals

    def learn(self, rollout: Rollout, taken: int) -> dict[str, float]:
        """Replay, then edit."""
        metrics = super().learn(rollout, taken)
        parents = self.random.choice(self.count, self.children, p=self._priorities())
        for parent in parents.tolist():
            child = mutated(self.courses[parent], self.random, self.edits)
            if child is not None:
                self._write(self._row_for_a_child(), child, parent)
        return metrics

    def _row_for_a_child(self) -> int:
        if self.born < self.spare:
            self.born += 1
            return self.originals + self.born - 1
        return self.originals + int(self.score[self.originals :].argmin())

    def _write(self, row: int, child: Course, parent: int) -> None:
        cells, _ = paint(child)
        down, right = child.start_cell
        self.worlds.write_level(row, cells, down * child.columns + right)
        self.courses[row], self.origin[row] = child, self.origin[parent]
        # Worth a look as much as its parent was, until it is played.
        self.score[row], self.played[row] = self.score[parent], self.turn

    def _fresh(self, count: int) -> NDArray[np.int64]:
        """Given levels by chance."""
        return self.random.integers(self.originals, size=count)

    def state_dict(self) -> dict[str, Any]:
        """With the walls of the children: all else is as in the level that they come from."""
        walls = [
            [list(item.position) for item in course.of("wall")] for course in self.courses[self.originals :]
        ]
        return {**super().state_dict(), "walls": walls}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """With the children."""
        super().load_state_dict({name: value for name, value in state.items() if name != "walls"})
        for row, walls in enumerate(state["walls"], self.originals):
            origin = self.courses[int(self.origin[row])]
            self.courses[row] = walled(
                origin, {(down, right): put(Wall(), (down, right)) for down, right in walls}
            )


class StateRecorder(Curriculum):
    """Records every state that an edit made, and when: what `Yoked` runs start from."""

    name = "Recorder"

    def start(self, env: TensorVectorEnv, steps: int, seed: int) -> None:
        """Nothing was recorded yet."""
        super().start(env, steps, seed)
        self.taken: list[int] = []
        self.cells: list[NDArray[np.uint8]] = []

    def after_step(self, rollout: Rollout, step: int, action: Tensor, taken: int) -> None:
        """Record the states of the worlds in which a power was used and the episode goes on."""
        if self.moves is None:
            return
        edited = (action >= self.moves) & ~rollout.done[step]
        for world in edited.nonzero().squeeze(1).tolist():
            self.taken.append(taken)
            self.cells.append(self.worlds.whole(world).copy())

    def write(self, path: Path) -> None:
        """To a file that `Yoked` reads."""
        arrays = self._arrays()
        np.savez_compressed(path, taken=arrays["taken"], cells=arrays["cells"])

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """The states, (K, rows, columns, 3), and after how many steps they were made, (K,)."""
        rows, columns = self.worlds.levels.rows, self.worlds.levels.columns
        cells = np.array(self.cells, np.uint8).reshape(-1, rows, columns, 3)
        return {"taken": np.array(self.taken, np.int64), "cells": cells}

    def state_dict(self) -> dict[str, Any]:
        """With the recorded states."""
        return {**super().state_dict(), **self._arrays()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """With the recorded states."""
        super().load_state_dict({"random": state["random"]})
        self.taken, self.cells = state["taken"].tolist(), list(state["cells"].copy())


class Yoked(Curriculum):
    """Starts a share of the episodes from the states that another run's edits made, at the time it made them.

    Args:
        visited: the file that the other run's `StateRecorder` wrote.
        share: of the episodes.
        spare: how many of the latest states are held.

    Raises `InvalidCommand` for a file that cannot be used.

    """

    name = "Yoked"
    state_names = ("used",)

    def __init__(self, visited: Path, share: float, spare: int = 256) -> None:
        self.share, self.spare = share, spare
        try:
            with np.load(visited) as arrays:
                self.taken, self.cells = arrays["taken"], arrays["cells"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as problem:
            raise InvalidCommand(f"visited states: {visited} cannot be read: {problem}") from None

    def start(self, env: TensorVectorEnv, steps: int, seed: int) -> None:
        """No state was visited yet."""
        super().start(env, steps, seed)
        self.originals = self.count - self.spare
        self.used = 0

    def learn(self, rollout: Rollout, taken: int) -> dict[str, float]:
        """Take over the states that the other run had made by now, the latest over the oldest."""
        while self.used < len(self.taken) and self.taken[self.used] <= taken:
            cells = self.cells[self.used].copy()
            start = int((cells[:, :, 2] >= AGENT).argmax())
            cells[:, :, 2] %= AGENT
            self.worlds.write_level(self.originals + self.used % self.spare, cells, start)
            self.used += 1
        held = min(self.used, self.spare)
        visited = round(self.share * self.count) if held else 0
        given = self.random.integers(self.originals, size=self.count - visited)
        table = np.concatenate([given, self.originals + np.arange(visited) % max(held, 1)])
        self.worlds.draw_from(table)
        return {}


def walled(course: Course, walls: Mapping[tuple[int, int], Element]) -> Course:
    """The course with these walls in place of its own."""
    others = tuple(item for item in course.elements if item.kind != "wall")
    return dataclasses.replace(course, elements=(*others, *walls.values()))


def mutated(course: Course, random: np.random.Generator, edits: int) -> Course | None:
    """A level with up to `edits` inner walls added or removed; None if it is no training level then."""
    walls = {item.position: item for item in course.of("wall")}
    occupied = {item.position for item in course.elements} - set(walls) | {course.start_cell, course.placebo}
    for _ in range(int(random.integers(1, edits + 1))):
        cell = (int(random.integers(1, course.rows - 1)), int(random.integers(1, course.columns - 1)))
        if cell in occupied:
            continue
        if walls.pop(cell, None) is None:
            walls[cell] = put(Wall(), cell)
    child = walled(course, walls)
    return child if Split.TRAIN.holds(child) and has_a_way(child) else None
