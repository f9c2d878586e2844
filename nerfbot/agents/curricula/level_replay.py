"""Level replay (PLR) and its evolved form (ACCEL): levels come back by how much they still teach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nerfbot.agents.curricula.base import Curriculum
from nerfbot.agents.curricula.mutation import mutated, walled
from nerfbot.agents.rollout import Rollout
from nerfbot.agents.tensor_env import TensorVectorEnv
from nerfbot.course import Course
from nerfbot.course.drawing import put
from nerfbot.course.elements import Wall
from nerfbot.grid.painting import paint


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
