"""Environments that tell what reached them, for the tests of the wrappers."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces


class Recorder(gymnasium.Env):
    """Keeps the actions it is given; observes its own step count; ends after `length` steps."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}
    dt = 0.1

    def __init__(self, action_space: spaces.Space | None = None, length: int = 10**6, outcome: Any = None):
        self.action_space = action_space or spaces.Box(-2.0, 2.0, (2,), np.float32)
        self.observation_space = spaces.Box(0.0, 1e6, (3,), np.float32)
        self.length, self.outcome = length, outcome or {}
        self.actions: list[Any] = []
        self.steps = 0

    def _seen(self) -> np.ndarray:
        return np.full(3, self.steps, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._seen(), {}

    def step(self, action):
        self.actions.append(action)
        self.steps += 1
        ended = self.steps >= self.length
        return self._seen(), 1.0, ended, False, dict(self.outcome) if ended else {}


class Senses(Recorder):
    """A `Recorder` that observes a lidar, a camera and where it is."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.observation_space = spaces.Dict(
            {
                "lidar": spaces.Box(0.0, 8.0, (5,), np.float32),
                "camera": spaces.Box(0, 255, (4, 6, 3), np.uint8),
                "pose": spaces.Box(-100.0, 100.0, (2,), np.float64),
                "cell": spaces.Discrete(7),
            }
        )

    def _seen(self):
        return {
            "lidar": np.array([1.0, 2.0, 3.0, 4.0, 5.0], np.float32),
            "camera": np.full((4, 6, 3), 200, np.uint8),
            "pose": np.array([self.steps, -self.steps], np.float64),
            "cell": np.int64(3),
        }


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder


@pytest.fixture
def senses() -> type[Senses]:
    return Senses
