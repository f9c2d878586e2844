"""Worlds that edits made: recorded, replayed in the same run, and played from the start in another.

Before each rollout some of the held worlds are given another start, so that they are entered from many sides.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from nerfbot.agents.curricula.base import Curriculum
from nerfbot.agents.curricula.held_worlds import HeldWorlds
from nerfbot.agents.rollout import Rollout
from nerfbot.agents.tensor_env import TensorVectorEnv
from nerfbot.declared import Declared, Fraction, PositiveInt
from nerfbot.errors import InvalidCommand


class ReplayConfig(Declared):
    """Replay of edited worlds: `share` of the episodes that begin in one of the latest `worlds` of them;
    `restarts`: how many of those are given a new start before each rollout.
    """

    share: Fraction = 0.3
    worlds: PositiveInt = 512
    restarts: Annotated[int, Field(ge=0)] = 64


class StateRecorder(Curriculum):
    """Records every state that an edit made, and when: what `Yoked` runs start from."""

    name = "Recorder"

    def start(self, env: TensorVectorEnv, steps: int, seed: int) -> None:
        """Nothing was recorded yet."""
        super().start(env, steps, seed)
        self.taken: list[int] = []
        self.cells: list[NDArray[np.uint8]] = []

    def after_step(self, rollout: Rollout, step: int, action: Tensor, taken: int) -> None:
        """Record the states of the worlds that this step's edits made, where the episode goes on."""
        legal = self.worlds.edit[:, 3] == 1
        if not legal.any():
            return
        for world in np.flatnonzero(legal & ~rollout.done[step].cpu().numpy()).tolist():
            self.taken.append(taken)
            self.cells.append(self.worlds.whole(world))

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


class EditedWorldReplay(HeldWorlds):
    """Holds every world that an edit of this run made, and records them for a run that is yoked to it.

    The latest ones replace the oldest.
    """

    name = "EditedWorldReplay"

    def __init__(self, config: ReplayConfig | None = None) -> None:
        self.config = config or ReplayConfig()
        super().__init__(self.config.share, self.config.worlds, self.config.restarts)
        self.recorder = StateRecorder()

    def start(self, env: TensorVectorEnv, steps: int, seed: int) -> None:
        """No world was edited yet."""
        super().start(env, steps, seed)
        self.recorder.start(env, steps, seed)

    def settings(self) -> dict[str, str]:
        """With the numbers of the replay."""
        return {**super().settings(), "replay": str(self.config.model_dump(mode="json"))}

    def after_step(self, rollout: Rollout, step: int, action: Tensor, taken: int) -> None:
        """Hold the worlds that this step's edits made, where the episode goes on."""
        before = len(self.recorder.cells)
        self.recorder.after_step(rollout, step, action, taken)
        for cells in self.recorder.cells[before:]:
            self.hold(cells)

    def write(self, path: Path) -> None:
        """All of them to a file that `Yoked` reads."""
        self.recorder.write(path)

    def state_dict(self) -> dict[str, Any]:
        """With the recorded states."""
        return {**super().state_dict(), "recorder": self.recorder.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """With the recorded states."""
        super().load_state_dict({name: value for name, value in state.items() if name != "recorder"})
        self.recorder.load_state_dict(state["recorder"])


class Yoked(HeldWorlds):
    """Starts a share of the episodes from the states that another run's edits made, at the time it made them.

    Args:
        visited: the file that the other run's `StateRecorder` wrote.
        share: of the episodes.
        spare: how many of the latest states are held.
        restarts: how many of them are given a new start before each rollout.

    Raises `InvalidCommand` for a file that cannot be used.

    """

    name = "Yoked"

    def __init__(self, visited: Path, share: float, spare: int = 256, restarts: int = 0) -> None:
        super().__init__(share, spare, restarts)
        try:
            with np.load(visited) as arrays:
                self.taken, self.states = arrays["taken"], arrays["cells"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as problem:
            raise InvalidCommand(f"visited states: {visited} cannot be read: {problem}") from None

    def learn(self, rollout: Rollout, taken: int) -> dict[str, float]:
        """Hold the states that the other run had made by now too."""
        while self.used < len(self.taken) and self.taken[self.used] <= taken:
            self.hold(self.states[self.used])
        return super().learn(rollout, taken)
