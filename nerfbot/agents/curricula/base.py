"""The base of all curricula: a hook that writes the table from which resets draw levels."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from nerfbot.agents.hooks import Hook
from nerfbot.agents.rollout import Rollout
from nerfbot.agents.state_dict import Stateful
from nerfbot.agents.tensor_env import TensorVectorEnv
from nerfbot.errors import InvalidCommand
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
        self.count = len(worlds.levels)
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
