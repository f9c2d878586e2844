"""The bandit: an explorer that knows actions, and neither their words nor the state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nerfbot.agents.explorers.base import Explorer, rank_logits
from nerfbot.agents.explorers.trials import Trials
from nerfbot.agents.tensor_env import Observation


class Bandit(Explorer):
    """A signed moving average of the score for every action, whatever the state; the largest |average| leads.

    Signed, so that noise cancels and a bias of the critic stays. `rate` of the average; `rank_power` and
    `floor` as in `rank_logits`.
    """

    signal = "first-touch"
    state_names = ("average", "tie")

    def __init__(self, rate: float = 0.1, rank_power: float = 1.2, floor: float = 0.1) -> None:
        self.rate, self.rank_power, self.floor = rate, rank_power, floor

    def start(self, *arguments: Any) -> None:
        """All averages are 0 at first, in a random order."""
        super().start(*arguments)
        self.average = torch.zeros(self.actions, device=self.device)
        noise = torch.rand(self.actions, generator=self.generator, device=self.device)
        self.tie = noise * 1e-6  # a random order where nothing is known yet, in place of the menu's

    def logits(self, observation: Observation, mask: Tensor) -> Tensor:
        """By rank of the averages' size."""
        score = (self.average.abs() + self.tie).expand(len(mask), -1)
        return rank_logits(score, self.powers(mask), self.rank_power, self.floor)

    def learn(self, trials: Trials) -> dict[str, float]:
        """Move the averages, one trial after another."""
        for action, score in zip(trials.action.tolist(), trials.score.tolist(), strict=True):
            self.average[action] += self.rate * (score - float(self.average[action]))
        return {"explorer_score": float(trials.score.abs().mean())}
