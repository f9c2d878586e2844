"""A rollout: some steps of many worlds, in tensors that are allocated once and filled anew."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nerfbot.agents.advantage import generalised_advantage
from nerfbot.agents.heads import Head
from nerfbot.agents.tensor_env import Observation, TensorVectorEnv
from nerfbot.errors import InvalidCommand


class Rollout:
    """`steps` steps of `count` worlds; every field is (steps, count, ...).

    `observation`, `action`, `mask`, `log_prob`; `rewards`, `values` and `next_values`, each by critic;
    `terminated`, `ended` (terminated or truncated), `first` (an episode begins here), `contact` (what was
    touched, 0: nothing). `powered`: a power was open and the explorer acted; then `choice`, `open_mask` and
    `choice_log_prob` hold what. After `finish`: `advantages` and `returns`, by critic, and `errors`, the task
    critic's one-step errors. `predicted`: the rewards as the network predicted them (NaN: it said nothing),
    where a signal asks for them. `memory` (count, units) is the policy's before the first step.
    """

    def __init__(
        self, steps: int, batch: TensorVectorEnv, head: Head, values: Sequence[str], explored: bool = False
    ) -> None:
        self.steps, self.count, self.device = steps, batch.count, batch.device
        self.observation: Observation = {
            name: self._zeros(part.dtype, *part.shape[1:]) for name, part in batch.observation.items()
        }
        self.action = self._zeros(head.dtype, *((head.width,) if head.width else ()))
        masked = batch.mask is not None and head.choices > 0
        self.mask = self._zeros(torch.bool, head.choices) if masked and not explored else None
        if explored:
            assert batch.mask is not None
            self.open_mask = self._zeros(torch.bool, batch.mask.shape[1])
            self.choice, self.choice_log_prob = self._zeros(torch.int64), self._zeros(torch.float32)
        self.log_prob = self._zeros(torch.float32)
        self.rewards, self.values, self.next_values = (
            {name: self._zeros(torch.float32) for name in values} for _ in range(3)
        )
        self.terminated, self.ended, self.first, self.powered = (self._zeros(torch.bool) for _ in range(4))
        self.contact = self._zeros(torch.int32)
        self.memory: Tensor | None = None
        self.predicted: Tensor | None = None
        self.reward_map: Tensor | None = None
        self.advantages: dict[str, Tensor] = {}
        self.returns: dict[str, Tensor] = {}

    def _zeros(self, dtype: torch.dtype, *shape: int) -> Tensor:
        return torch.zeros(self.steps, self.count, *shape, dtype=dtype, device=self.device)

    @property
    def size(self) -> int:
        """Transitions."""
        return self.steps * self.count

    def check(self) -> None:
        """Raise `InvalidCommand` where an observation, a reward or what the network made of it is no number.

        Learning from one such number would leave no weight intact.
        """
        given = {
            **{f"observation {name!r}" if name else "observation": x for name, x in self.observation.items()},
            **{f"reward {name!r}": value for name, value in self.rewards.items()},
        }
        made = {
            **{f"value {name!r}": value for name, value in self.values.items()},
            **{f"value {name!r} of what followed": value for name, value in self.next_values.items()},
            "log-probability": self.log_prob,
        }
        for name, values in {**given, **made}.items():
            if not values.is_floating_point() or bool(values.sum().isfinite()):
                continue
            wrong = (~values.isfinite()).nonzero()
            if len(wrong):
                step, world = wrong[0, :2].tolist()
                cause = "" if name in given else " (the network has diverged, or saw such an observation)"
                raise InvalidCommand(
                    f"{name}: {float(values[tuple(wrong[0])])} in world {world}, step {step} of the rollout:"
                    f" must be finite{cause}"
                )

    def finish(self, powered_after: Tensor, gamma: float, lam: float) -> None:
        """Compute next values, advantages and returns.

        `next_values` already hold the critics' values where an episode ended, and in the last step.
        `powered_after` bool (count,): whether a power is open after the last step. The chain of a step before
        a powered one ends there, bootstrapped by what the critic, which sees no power, says of that moment.
        """
        last = self.ended | torch.cat([self.powered[1:], powered_after.unsqueeze(0)])
        for name, value in self.values.items():
            following = self.next_values[name]
            following[:-1] = torch.where(self.ended[:-1], following[:-1], value[1:])
            self.advantages[name] = generalised_advantage(
                self.rewards[name], value, following, self.terminated, last, gamma, lam
            )
            self.returns[name] = self.advantages[name] + value
        self.errors = (
            self.rewards["task"] + gamma * self.next_values["task"] * ~self.terminated - self.values["task"]
        )
