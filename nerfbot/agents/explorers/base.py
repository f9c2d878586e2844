"""The base of all explorers: who acts while a power is open, and learns from exploration scores alone.

The learner knows no other difference between them than `act` and `learn`. None sees the task's reward, save
through the signal that scores its trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from gymnasium import spaces
from torch import Tensor

from nerfbot.agents.explorers.trials import Trials
from nerfbot.agents.heads import CLOSED, CategoricalHead
from nerfbot.agents.state_dict import Stateful
from nerfbot.agents.tensor_env import Observation


class Explorer(Stateful):
    """Base: chooses uniformly among the powers that are open, and learns nothing (the random arm)."""

    signal: str = "td-surprise"
    """What scores its trials unless another signal is given."""

    @property
    def name(self) -> str:
        """Its kind, as a checkpoint has it."""
        return type(self).__name__

    def start(
        self,
        parts: Mapping[str, spaces.Box],
        names: Sequence[str],
        moves: int,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        """Make ready. `names` of the actions, of which the first `moves` are no powers. `generator`, the
        learner's, for every draw.
        """
        self.names, self.moves, self.generator, self.device = tuple(names), moves, generator, device
        self.actions = len(self.names)

    def powers(self, mask: Tensor) -> Tensor:
        """The open powers among the open actions, (M, actions)."""
        mask = mask.clone()
        mask[:, : self.moves] = False
        return mask

    def logits(self, observation: Observation, mask: Tensor) -> Tensor:
        """Preferences, for actions that are not open too. Shape: (M, actions)."""
        return torch.zeros(mask.shape, device=mask.device)

    @torch.no_grad()
    def act(self, observation: Observation, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Choose in M worlds with a power open: actions (M,) and their log-probabilities (M,)."""
        head = CategoricalHead(self.actions)
        open_now, logits = self.powers(mask), self.logits(observation, mask)
        action = head.sample(logits, open_now, self.generator)
        return action, head.evaluate(logits, action, open_now)[0]

    def learn(self, trials: Trials) -> dict[str, float]:
        """Learn from trials that are over; metrics."""
        return {}


def rank_logits(score: Tensor, open_now: Tensor, power: float, floor: float) -> Tensor:
    """Logits of P(k) = (1 - floor) rank(k)**-power / sum + floor / open, ranks by falling score, from 1.

    Shapes: (M, actions). Ranks do not care for the scores' scale, which changes while the critic learns.
    """
    masked = score.masked_fill(~open_now, CLOSED)
    order = masked.argsort(dim=-1, descending=True, stable=True)
    ranks = torch.empty_like(masked)
    counted = torch.arange(1, masked.shape[-1] + 1, device=masked.device, dtype=masked.dtype)
    ranks.scatter_(-1, order, counted.expand_as(masked))
    share = ranks.pow(-power) * open_now
    share = share / share.sum(-1, keepdim=True).clamp_min(1e-9)
    even = open_now / open_now.sum(-1, keepdim=True).clamp_min(1)
    return ((1.0 - floor) * share + floor * even).clamp_min(1e-12).log()
