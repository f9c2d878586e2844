"""The explorer of the control arm: one whose scores say nothing about its own trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from nerfbot.agents.explorers.base import Explorer
from nerfbot.agents.explorers.trials import Trials
from nerfbot.agents.tensor_env import Observation


class Shuffled(Explorer):
    """An explorer whose trials get one another's scores: it behaves alike but finds out nothing."""

    def __init__(self, inner: Explorer) -> None:
        self.inner, self.signal = inner, inner.signal

    @property
    def name(self) -> str:
        """With the inner one's."""
        return f"Shuffled {self.inner.name}"

    def start(self, parts: Mapping[str, spaces.Box], *arguments: Any) -> None:
        """Make the inner one ready."""
        super().start(parts, *arguments)
        self.inner.start(parts, *arguments)

    def act(self, observation: Observation, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The inner one's choice."""
        return self.inner.act(observation, mask)

    def learn(self, trials: Trials) -> dict[str, float]:
        """Permute the scores, then let the inner one learn."""
        order = torch.randperm(len(trials), generator=self.generator, device=self.device)
        return self.inner.learn(replace(trials, score=trials.score[order]))

    def state_dict(self) -> dict[str, Any]:
        """The inner one's."""
        return self.inner.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """To the inner one."""
        self.inner.load_state_dict(state)
