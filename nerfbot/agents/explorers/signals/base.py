"""The base of all exploration signals: a discounted sum over a trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from gymnasium import spaces
from torch import Tensor

from nerfbot.agents.rollout import Rollout
from nerfbot.agents.state_dict import Stateful


class Signal(Stateful):
    """Base: a discounted sum over the trial of one number a step. `gamma` is the sum's discount.

    A subclass gives `per_step`, and overrides the rest only where its score is no such sum. `needs_contact`:
    it needs an environment that says what was touched; `needs_rewards`: a network that predicts rewards;
    `needs_reward_map`: a planning network.
    """

    needs_contact = False
    needs_rewards = False
    needs_reward_map = False
    state_names: ClassVar[tuple[str, ...]] = ("total", "weight")

    def __init__(self, gamma: float = 0.99) -> None:
        self.gamma = gamma

    def start(self, count: int, parts: Mapping[str, spaces.Box], device: torch.device) -> None:
        """Make room for `count` worlds with these parts of an observation."""
        self.total = torch.zeros(count, device=device)
        self.weight = torch.ones(count, device=device)

    def per_step(self, rollout: Rollout) -> Tensor:
        """The number of every step, (steps, count)."""
        raise NotImplementedError

    def prepare(self, rollout: Rollout) -> None:
        """Read a complete rollout before its steps are gone through."""
        self.steps = self.per_step(rollout)

    def open(self, rows: Tensor) -> None:
        """Trials begin in these worlds, bool (count,)."""
        self.total.masked_fill_(rows, 0.0)
        self.weight.masked_fill_(rows, 1.0)

    def step(self, step: int, rows: Tensor, rollout: Rollout) -> None:
        """Trials went on in these worlds at this step of the rollout."""
        self.total += torch.where(rows, self.weight * self.steps[step], torch.zeros_like(self.total))
        self.weight = torch.where(rows, self.weight * self.gamma, self.weight)

    def close(self) -> Tensor:
        """The score of every world's trial, (count,); only the rows of trials that end are meaningful."""
        return self.total

    def learn(self, rollout: Rollout) -> dict[str, float]:
        """Train what the signal itself learns, after the rollout was scored; metrics."""
        return {}
