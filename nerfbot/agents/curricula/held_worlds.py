"""Worlds held in the spare rows of the level table, in which a share of the episodes begins."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nerfbot.agents.curricula.base import Curriculum
from nerfbot.agents.rollout import Rollout
from nerfbot.agents.tensor_env import TensorVectorEnv
from nerfbot.grid.build import reach_from
from nerfbot.grid.codes import AGENT, CHEST, CORNER_MARK, FINISH_PAD, FLOOR, WALL

FREE = (FLOOR, CORNER_MARK, FINISH_PAD)
"""Kinds of cells in which an episode can begin."""


class HeldWorlds(Curriculum):
    """Base: holds up to `spare` worlds in the spare rows of the level table and draws episodes from them.

    Args:
        share: of the episodes that begin in a held world, once there is one.
        spare: how many worlds are held, at most.
        restarts: worlds that get a new start, drawn from the cells in reach of the old one, a rollout.

    """

    state_names: ClassVar[tuple[str, ...]] = ("used", "cells", "steps_replayed")

    def __init__(self, share: float, spare: int, restarts: int) -> None:
        self.share, self.spare, self.restarts = share, spare, restarts

    def start(self, env: TensorVectorEnv, steps: int, seed: int) -> None:
        """No world is held yet."""
        super().start(env, steps, seed)
        self.originals = self.count - self.spare
        levels = self.worlds.levels
        self.used = self.steps_replayed = 0
        self.cells = np.zeros((self.spare, levels.rows, levels.columns, 3), np.uint8)

    @property
    def held(self) -> int:
        """Worlds held now."""
        return min(self.used, self.spare)

    def act(self, rollout: Rollout, step: int, action: Tensor) -> Tensor:
        """Mark the episodes that are played in held worlds."""
        action = super().act(rollout, step, action)
        rollout.replayed[step] = torch.as_tensor(self.level[step] >= self.originals)
        return action

    def hold(self, cells: NDArray[np.uint8]) -> None:
        """Hold a world, (rows, columns, 3) with the agent in it, over the oldest one if there is no room."""
        row = self.used % self.spare
        self.used += 1
        self._write(row, cells)

    def learn(self, rollout: Rollout, taken: int) -> dict[str, float]:
        """Give worlds new starts, and draw the table anew."""
        replayed = self.level >= self.originals
        self.steps_replayed += int(replayed.sum())
        if not self.held:
            return {}
        for row in self.random.choice(self.held, min(self.restarts, self.held), replace=False).tolist():
            self._write(row, moved_start(self.cells[row], self.random))
        again = round(self.share * self.count)
        rows = self.originals + self.random.integers(self.held, size=again)
        given = self.random.integers(self.originals, size=self.count - again)
        self.worlds.draw_from(np.concatenate([given, rows]))
        return {"edited_worlds": float(self.held), "replayed_steps": float(replayed.mean())}

    def _write(self, row: int, cells: NDArray[np.uint8]) -> None:
        self.cells[row] = cells
        bare = cells.copy()
        bare[:, :, 2] %= AGENT
        self.worlds.write_level(self.originals + row, bare, int((cells[:, :, 2] >= AGENT).argmax()))


def moved_start(cells: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """The same world with the agent in another free cell that it can reach, each as likely as the others."""
    old = int((cells[:, :, 2] >= AGENT).argmax())
    kinds = cells[None, :, :, 0]
    reached = reach_from(np.array([old]), (kinds != WALL) & (kinds != CHEST))
    free = np.flatnonzero(reached & np.isin(kinds.reshape(1, -1), FREE))
    new = int(free[random.integers(len(free))]) if len(free) else old
    moved = cells.copy()
    states = moved.reshape(-1, 3)
    states[old, 2] -= AGENT
    states[new, 2] += AGENT
    return moved
