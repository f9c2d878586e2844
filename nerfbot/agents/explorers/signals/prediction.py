"""Signals read from the policy's own predictions: of rewards, of values, and of rewards over the map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from gymnasium import spaces
from torch import Tensor

from nerfbot.agents.encoders import is_grid
from nerfbot.agents.explorers.signals.base import Signal
from nerfbot.agents.rollout import Rollout

USUAL_RATE = 0.05
"""Of the running mean of the usual errors, a step of all worlds."""


class RewardSurprise(Signal):
    """The largest squared error of the policy's own prediction of a reward: what it turned out not to know.

    The largest, not the sum: one surprise repeated is no greater. Only what exceeds the running mean of the
    same error where no power was used counts, with a mean each for steps with and without a reward: an error
    made everywhere says nothing about this edit. The signal fades as the network learns to predict.
    """

    needs_rewards = True
    state_names = ("usual", "known")

    def start(self, count: int, parts: Mapping[str, spaces.Box], device: torch.device) -> None:
        """Beside the base's: the usual errors, without and with a reward."""
        super().start(count, parts, device)
        self.usual = torch.zeros(2, device=device)
        self.known = torch.zeros(2, dtype=torch.bool, device=device)

    def per_step(self, rollout: Rollout) -> Tensor:
        """The squared error; 0 where nothing was predicted."""
        assert rollout.predicted_reward is not None
        return (rollout.rewards["task"] - rollout.predicted_reward).square().nan_to_num(0.0)

    def step(self, step: int, rows: Tensor, rollout: Rollout) -> None:
        """Update the means from worlds without a trial, then take the largest excess of those with one."""
        error, rewarded = self.steps[step], (rollout.rewards["task"][step] != 0.0).long()
        elsewhere = ~rows & ~rollout.powered[step]
        for group in range(2):
            there = elsewhere & (rewarded == group)
            if bool(there.any()):
                mean = error[there].mean()
                share = USUAL_RATE if self.known[group] else 1.0
                self.usual[group] = torch.lerp(self.usual[group], mean, share)
                self.known[group] = True
        excess = error - self.usual[rewarded]
        self.total = torch.where(rows, torch.maximum(self.total, excess), self.total)


class AtUse(Signal):
    """Base: of each trial the number of its first step alone, for what the use of the power changed at once.

    It needs no touch and is known at once, whether what came is then visited or not.
    """

    state_names = ("last", "started")
    stored_names: ClassVar = {"started": "seen"}

    def start(self, count: int, parts: Mapping[str, spaces.Box], device: torch.device) -> None:
        """Beside the base's: what the rollout before ended with, and whether the first step is over."""
        super().start(count, parts, device)
        self.last = torch.zeros(count, *self.shape_before(parts), device=device)
        self.started = torch.zeros(count, dtype=torch.bool, device=device)

    def shape_before(self, parts: Mapping[str, spaces.Box]) -> tuple[int, ...]:
        """The shape of what `before` is given, without steps and worlds."""
        return ()

    def before(self, now: Tensor) -> Tensor:
        """What `now`, (steps, count, ...), was a step earlier, over the border between rollouts too."""
        earlier = torch.cat([self.last.unsqueeze(0), now[:-1]])
        self.last = now[-1].clone()
        return earlier

    def open(self, rows: Tensor) -> None:
        """The first step is yet to come."""
        super().open(rows)
        self.started &= ~rows

    def first_steps(self, rows: Tensor) -> Tensor:
        """Those of the trials in these worlds whose first step this is."""
        now = rows & ~self.started
        self.started |= now
        return now

    def step(self, step: int, rows: Tensor, rollout: Rollout) -> None:
        """The first step after the use is the score."""
        self.total = torch.where(self.first_steps(rows), self.steps[step], self.total)


class PossibleSurprise(RewardSurprise, AtUse):
    """The reward surprise, or the possible one if larger: the square of the reward that the use added.

    The policy's own network says what was added, summed over the map: a thing that looks rewarding and was
    never tried is worth trying, whether it was reached this time or not. A thing merely moved adds nothing,
    nor does one that the network has learned to be worthless.
    """

    needs_reward_map = True

    def prepare(self, rollout: Rollout) -> None:
        """What every step added."""
        super().prepare(rollout)
        assert rollout.reward_map is not None
        now = rollout.reward_map.sum(-1)
        self.added = (now - self.before(now)).clamp_min(0.0).square()

    def step(self, step: int, rows: Tensor, rollout: Rollout) -> None:
        """The first step after the use says what was added."""
        RewardSurprise.step(self, step, rows, rollout)
        larger = torch.maximum(self.total, self.added[step])
        self.total = torch.where(self.first_steps(rows), larger, self.total)


class ValueChange(AtUse):
    """How much the use of the power changed the value that the critic expects, up or down.

    It fades where the expectation proves wrong.
    """

    def per_step(self, rollout: Rollout) -> Tensor:
        """The size of the value's change."""
        value = rollout.values["task"]
        return (value - self.before(value)).abs()


class Promise(AtUse):
    """The largest reward that the use of the power put somewhere, as the policy's own network expects it.

    It fades for what was visited and proved worthless.
    """

    needs_reward_map = True

    def shape_before(self, parts: Mapping[str, spaces.Box]) -> tuple[int, ...]:
        """The cells of the map."""
        rows, columns = next(box.shape[:2] for box in parts.values() if is_grid(box))
        return (rows * columns,)

    def per_step(self, rollout: Rollout) -> Tensor:
        """The rise of the best-rising place."""
        assert rollout.reward_map is not None
        return (rollout.reward_map - self.before(rollout.reward_map)).amax(-1).clamp_min(0.0)
