"""Signals read from the task's critic, its rewards and contacts alone."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from gymnasium import spaces
from torch import Tensor

from nerfbot.agents.explorers.signals.base import Signal
from nerfbot.agents.rollout import Rollout


class TDSurprise(Signal):
    """Sum of |TD error| of the task's critic: make situations in which my own prediction turns out wrong."""

    def per_step(self, rollout: Rollout) -> Tensor:
        """The errors' size."""
        return rollout.td_errors.abs()


class SignedSurprise(Signal):
    """Sum of -TD error: what was expected and did not come. Noise cancels over trials, a bias stays."""

    def per_step(self, rollout: Rollout) -> Tensor:
        """The errors with their sign turned."""
        return -rollout.td_errors


class Nothing(Signal):
    """Always 0: what an explorer does where nothing is worth more than anything else."""

    def per_step(self, rollout: Rollout) -> Tensor:
        """Zeros."""
        return torch.zeros_like(rollout.td_errors)


class TaskReturn(Signal):
    """The task's own reward: the mistake of paying an explorer by the task, there to be compared with."""

    def per_step(self, rollout: Rollout) -> Tensor:
        """The reward."""
        return rollout.rewards["task"]


class PositiveValueLoss(Signal):
    """Sum of the advantages' positive parts, the regret estimate of PLR (Jiang et al. 2021)."""

    def per_step(self, rollout: Rollout) -> Tensor:
        """What came better than predicted."""
        return rollout.advantages["task"].clamp_min(0.0)


class FirstTouch(Signal):
    """The error at the first touch of anything: the value just before it, less the next reward, discounted.

    Signed; 0 where nothing is touched, so that edits that merely empty the world score nothing. Only the next
    reward counts: a second coin is no surprise about the first.
    """

    needs_contact = True
    state_names = ("touched",)

    def start(self, count: int, parts: Mapping[str, spaces.Box], device: torch.device) -> None:
        """Beside the base's: whether something was touched already."""
        super().start(count, parts, device)
        self.touched = torch.zeros(count, dtype=torch.bool, device=device)

    def prepare(self, rollout: Rollout) -> None:
        """Nothing: value, reward and contact are in the rollout."""

    def open(self, rows: Tensor) -> None:
        """Nothing is touched yet."""
        super().open(rows)
        self.touched &= ~rows

    def step(self, step: int, rows: Tensor, rollout: Rollout) -> None:
        """From the first touch on, take the rewards off the value before it."""
        now = rows & ~self.touched & (rollout.contact[step] != 0)
        self.total = torch.where(now, rollout.values["task"][step], self.total)
        self.weight.masked_fill_(now, 1.0)
        self.touched |= now
        after = rows & self.touched
        reward = rollout.rewards["task"][step]
        self.total -= torch.where(after, self.weight * reward, torch.zeros_like(self.total))
        # After a reward the weight is 0.
        self.weight = torch.where(after, self.weight * self.gamma * (reward == 0), self.weight)
