"""Signals that train networks of their own: random network distillation, and an ensemble's disagreement."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from gymnasium import spaces
from torch import Tensor, nn

from nerfbot.agents.encoders import Predictor
from nerfbot.agents.explorers.signals.base import Signal
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.rollout import Rollout
from nerfbot.agents.tensor_env import Observation
from nerfbot.errors import InvalidCommand


class Novelty(Signal):
    """Random network distillation (Burda et al. 2019): the error in predicting a fixed random network.

    Args:
        gamma: of the sum.
        network: of both networks' encoders.
        learning_rate: of the predictor.

    """

    state_names = ("fixed", "predictor", "optimiser", "mean_error", "generator")

    def __init__(
        self, gamma: float = 0.99, network: NetworkConfig | None = None, learning_rate: float = 1.0e-3
    ) -> None:
        super().__init__(gamma)
        self.network = network or NetworkConfig(hidden=(64, 64))
        self.learning_rate = learning_rate

    def start(self, count: int, parts: Mapping[str, spaces.Box], device: torch.device) -> None:
        """Build the two networks."""
        super().start(count, parts, device)
        self.fixed, self.predictor = (Predictor(parts, self.network, 32).to(device) for _ in range(2))
        self.fixed.requires_grad_(False)
        self.optimiser = torch.optim.Adam(self.predictor.parameters(), lr=self.learning_rate)
        self.mean_error = torch.ones((), device=device)
        self.generator = _generator(device)

    def _error(self, observation: Observation) -> Tensor:
        return (self.predictor(observation) - self.fixed(observation)).square().mean(-1)

    @torch.no_grad()
    def per_step(self, rollout: Rollout) -> Tensor:
        """The prediction's error in units of its running mean."""
        error = self._error(rollout.flat_observation())
        self.mean_error.lerp_(error.mean(), 0.05)
        return (error / (self.mean_error + 1.0e-8)).view(rollout.steps, rollout.count)

    def learn(self, rollout: Rollout) -> dict[str, float]:
        """One pass of the predictor over a quarter of the rollout, as the paper thins its batches."""
        order = torch.randperm(rollout.size, generator=self.generator, device=rollout.device)
        rows = order[: max(1, rollout.size // 4)]
        loss = self._error({name: part[rows] for name, part in rollout.flat_observation().items()}).mean()
        _descend(self.optimiser, loss)
        return {"novelty_loss": float(loss.detach())}


class Disagreement(Signal):
    """Spread of an ensemble that predicts the reward, or the return, from an observation and the next step.

    `of` "reward": what the step is rewarded with; "return": what the task's critic is taught. Members differ
    by their first weights and by which transitions they learn from (each with probability one half).
    """

    state_names = ("ensemble", "optimiser", "generator")

    def __init__(
        self,
        of: str = "reward",
        gamma: float = 0.99,
        members: int = 5,
        network: NetworkConfig | None = None,
        learning_rate: float = 1.0e-3,
    ) -> None:
        super().__init__(gamma)
        if of not in ("reward", "return"):
            raise InvalidCommand(f"signal.of: must be reward or return, got {of!r}")
        if members < 2:
            raise InvalidCommand(f"signal.members: must be 2 or more, got {members}")
        self.of, self.members, self.learning_rate = of, members, learning_rate
        self.network = network or NetworkConfig(hidden=(64, 64))

    def start(self, count: int, parts: Mapping[str, spaces.Box], device: torch.device) -> None:
        """Build the ensemble."""
        super().start(count, parts, device)
        self.ensemble = nn.ModuleList(Predictor(parts, self.network, 1) for _ in range(self.members)).to(
            device
        )
        self.optimiser = torch.optim.Adam(self.ensemble.parameters(), lr=self.learning_rate)
        self.generator = _generator(device)

    def _predict(self, observation: Observation) -> Tensor:
        return torch.stack([member(observation).squeeze(-1) for member in self.ensemble])

    @torch.no_grad()
    def per_step(self, rollout: Rollout) -> Tensor:
        """The members' deviation."""
        return self._predict(rollout.flat_observation()).std(0).view(rollout.steps, rollout.count)

    def learn(self, rollout: Rollout) -> dict[str, float]:
        """One pass over half of the rollout's transitions for each member."""
        target = (rollout.rewards if self.of == "reward" else rollout.returns)["task"].flatten()
        error = (self._predict(rollout.flat_observation()) - target).square()
        taken = torch.rand(error.shape, generator=self.generator, device=error.device) < 0.5
        loss = (error * taken).sum() / taken.sum().clamp_min(1)
        _descend(self.optimiser, loss)
        return {"disagreement_loss": float(loss.detach())}


def _generator(device: torch.device) -> torch.Generator:
    """A stream of its own, from the generator that first weights are drawn from."""
    return torch.Generator(device).manual_seed(int(torch.randint(2**31, ())))


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
