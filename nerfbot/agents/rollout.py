"""A rollout: some steps of many worlds, in tensors that are allocated once and overwritten by the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nerfbot.agents.advantage import generalised_advantage
from nerfbot.agents.heads import Head
from nerfbot.agents.tensor_env import Observation, TensorVectorEnv
from nerfbot.errors import InvalidCommand


@dataclass(frozen=True)
class Minibatch:
    """B transitions: what one step of the optimiser reads.

    Args:
        observation: by part. Shape: (B, ...).
        action: Shape: (B,) or (B, width).
        log_prob: of the action when it was taken. Shape: (B,).
        advantage: of all critics together. Shape: (B,).
        reward: of the task. Shape: (B,).
        returns: what each critic is taught, by its name. Shape: (B,).
        values: what each critic said, by its name; empty unless requested. Shape: (B,).
        mask: bool, the open actions; None: all of them. Shape: (B, choices).
        weight: 0 where the explorer acted, else 1; None: 1 everywhere. Shape: (B,).
        hidden_state: for a recurrent network, before the first step. Shape: (worlds, units).
        is_first: for a recurrent network, bool: an episode begins. Shape: (steps, worlds), B in all.

    """

    observation: Observation
    action: Tensor
    log_prob: Tensor
    advantage: Tensor
    reward: Tensor
    returns: dict[str, Tensor]
    values: dict[str, Tensor]
    mask: Tensor | None = None
    weight: Tensor | None = None
    hidden_state: Tensor | None = None
    is_first: Tensor | None = None


class Rollout:
    """`steps` steps of `count` worlds; every field has the shape (steps, count, ...).

    `observation`, `action`, `mask`, `log_prob`; `rewards`, `values` and `next_values`, each by critic;
    `terminated`, `done` (terminated or truncated), `is_first` (an episode begins), `contact` (what was
    touched, 0: nothing). `powered`: a power was open and the explorer acted, by `explorer_mask` and with
    `explorer_log_prob`; `executed` holds the actions of both. `replayed`: the episode began in a world that
    an earlier edit made.

    `compute_returns` adds `advantages` and `returns`, by critic, and `td_errors` of the task's critic.
    `weights`: of the critics' advantages in the policy's. Signals that need them find the network's
    `predicted_reward` (NaN: none) and `reward_map` (steps, count, cells). `hidden_state` (count, units) is
    the policy's before the first step.
    """

    def __init__(
        self, steps: int, env: TensorVectorEnv, head: Head, critics: Sequence[str], explored: bool = False
    ) -> None:
        self.steps, self.count, self.device = steps, env.count, env.device
        self.observation: Observation = {
            name: self._zeros(part.dtype, *part.shape[1:]) for name, part in env.observation.items()
        }
        self.action = self._zeros(head.dtype, *((head.width,) if head.width else ()))
        masked = env.mask is not None and head.choices > 0
        self.mask = self._zeros(torch.bool, head.choices) if masked and not explored else None
        if explored:
            assert env.mask is not None
            self.explorer_mask = self._zeros(torch.bool, env.mask.shape[1])
            self.executed, self.explorer_log_prob = self._zeros(torch.int64), self._zeros(torch.float32)
        self.log_prob = self._zeros(torch.float32)
        self.rewards, self.values, self.next_values = (
            {name: self._zeros(torch.float32) for name in critics} for _ in range(3)
        )
        self.terminated, self.done, self.is_first, self.powered, self.replayed = (
            self._zeros(torch.bool) for _ in range(5)
        )
        self.contact = self._zeros(torch.int32)
        self.weights = dict.fromkeys(critics, 1.0)
        self.hidden_state: Tensor | None = None
        self.predicted_reward: Tensor | None = None
        self.reward_map: Tensor | None = None
        self.advantages: dict[str, Tensor] = {}
        self.returns: dict[str, Tensor] = {}

    def _zeros(self, dtype: torch.dtype, *shape: int) -> Tensor:
        return torch.zeros(self.steps, self.count, *shape, dtype=dtype, device=self.device)

    @property
    def size(self) -> int:
        """Transitions."""
        return self.steps * self.count

    def flat_observation(self, steps: slice = slice(None)) -> Observation:
        """The observations of all worlds at these steps. Shape: (steps * count, ...)."""
        return {name: part[steps].flatten(0, 1) for name, part in self.observation.items()}

    def check_finite(self) -> None:
        """Raise `InvalidCommand` for an observation, a reward or an output of the network that is not finite.

        Learning from one such number would leave no weight intact.
        """
        inputs = {
            **{f"observation {name!r}" if name else "observation": x for name, x in self.observation.items()},
            **{f"reward {name!r}": value for name, value in self.rewards.items()},
        }
        outputs = {
            **{f"value {name!r}": value for name, value in self.values.items()},
            **{f"value {name!r} of what followed": value for name, value in self.next_values.items()},
            "log-probability": self.log_prob,
        }
        for name, values in {**inputs, **outputs}.items():
            if not values.is_floating_point() or bool(values.sum().isfinite()):
                continue
            wrong = (~values.isfinite()).nonzero()
            if len(wrong):
                step, world = wrong[0, :2].tolist()
                cause = "" if name in inputs else " (the network has diverged, or saw such an observation)"
                raise InvalidCommand(
                    f"{name}: {float(values[tuple(wrong[0])])} in world {world}, step {step} of the rollout:"
                    f" must be finite{cause}"
                )

    def compute_returns(self, critic: str, powered_after: Tensor | None, gamma: float, lam: float) -> None:
        """Compute a critic's advantages and returns, and the TD errors if it is the task's.

        `next_values` already hold its values where an episode ended, and in the last step. `powered_after`
        bool (count,): whether a power is open to the explorer after the last step; None: there is none. The
        chain of a step before a powered one ends there, bootstrapped by the critic, which sees no power.
        """
        if powered_after is None:
            powered_after = torch.zeros_like(self.powered[0])
        last = self.done | torch.cat([self.powered[1:], powered_after.unsqueeze(0)])
        reward, value, following = self.rewards[critic], self.values[critic], self.next_values[critic]
        following[:-1] = torch.where(self.done[:-1], following[:-1], value[1:])
        self.advantages[critic] = generalised_advantage(
            reward, value, following, self.terminated, last, gamma, lam
        )
        self.returns[critic] = self.advantages[critic] + value
        if critic == "task":
            self.td_errors = reward + gamma * following * ~self.terminated - value

    def minibatches(
        self, number: int, generator: torch.Generator, whole_worlds: bool = False, with_values: bool = False
    ) -> Iterator[Minibatch]:
        """Every transition once, in a new random order, in `number` minibatches.

        With `whole_worlds` the steps of a world stay together in their order, as a recurrent network needs
        them.
        """
        fields: dict[str, Tensor] = {
            "action": self.action,
            "log_prob": self.log_prob,
            "advantage": sum(self.weights[name] * x for name, x in self.advantages.items()),  # type: ignore[dict-item]
            "reward": self.rewards["task"],
        }
        if self.mask is not None:
            fields["mask"] = self.mask
        if self.powered.any():  # else every step counts
            fields["weight"] = (~self.powered).float()
        groups = self.observation, self.returns, self.values if with_values else {}
        length = self.count if whole_worlds else self.size
        order = torch.randperm(length, generator=generator, device=self.device)
        for rows in order.chunk(number):

            def select(fields: dict[str, Tensor], rows: Tensor = rows) -> dict[str, Tensor]:
                if whole_worlds:
                    return {name: value[:, rows].flatten(0, 1) for name, value in fields.items()}
                return {name: value.flatten(0, 1).index_select(0, rows) for name, value in fields.items()}

            observation, returns, values = map(select, groups)
            if whole_worlds:
                assert self.hidden_state is not None
                recurrent = {"hidden_state": self.hidden_state[rows], "is_first": self.is_first[:, rows]}
            else:
                recurrent = {}
            yield Minibatch(observation, returns=returns, values=values, **select(fields), **recurrent)
