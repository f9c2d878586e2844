"""Running means and variances, for observations and returns whose scale is not known beforehand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from nerfbot.agents.state_dict import stored_as
from nerfbot.agents.tensor_env import Observation


class RunningNorm(nn.Module):
    """Subtracts the mean and divides by the standard deviation of all `count` values so far.

    Means and variances are merged batch by batch (Chan et al. 1979), exact whatever the batches' sizes. They
    are saved with the policy.
    """

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...], limit: float = 10.0) -> None:
        super().__init__()
        self.limit = limit
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        stored_as(self, count="seen")

    @torch.no_grad()
    def update(self, values: Tensor) -> None:
        """Take in values (N, *shape)."""
        values = values.double()
        new = float(len(values))
        mean, variance = values.mean(0), values.var(0, unbiased=False)
        total = self.count + new
        away = mean - self.mean
        self.variance.copy_(
            (self.variance * self.count + variance * new + away.square() * self.count * new / total) / total
        )
        self.mean.add_(away * new / total)
        self.count.copy_(total)

    def forward(self, values: Tensor) -> Tensor:
        """Normalised, clipped at `limit` deviations. The shape stays; float32."""
        deviation = (self.variance + 1.0e-8).sqrt().float()
        return ((values.float() - self.mean.float()) / deviation).clamp(-self.limit, self.limit)


def norm_key(name: str) -> str:
    """The name of a part's norm among the norms; no name that a module has of its own."""
    return "norm_" + name.replace(".", "_")


def observation_norms(parts: Mapping[str, spaces.Box]) -> nn.ModuleDict:
    """A norm for every part of an observation that is not made of bytes."""
    return nn.ModuleDict(
        {norm_key(name): RunningNorm(box.shape) for name, box in parts.items() if box.dtype != np.uint8}
    )


def update_norms(norms: nn.ModuleDict, observation: Observation) -> None:
    """Take in observations. Shape of the parts: (N, ...)."""
    for name, part in observation.items():
        if norm_key(name) in norms:
            norms[norm_key(name)].update(part)  # type: ignore[operator]


def normalize(norms: nn.ModuleDict, observation: Observation) -> Observation:
    """An observation as the network reads it: normalised where there is a norm."""
    if not norms:
        return observation
    return {
        name: norms[norm_key(name)](part) if norm_key(name) in norms else part
        for name, part in observation.items()
    }


class ReturnScale:
    """One over the standard deviation of discounted returns: the factor that rewards are multiplied by."""

    def __init__(self, count: int, gamma: float, device: torch.device) -> None:
        self.norm = RunningNorm((), limit=float("inf")).to(device)
        self.running = torch.zeros(count, device=device)
        self.gamma = gamma

    def update(self, reward: Tensor, done: Tensor) -> float:
        """Take in a rollout's rewards and ends; the factor from now on. Shapes: (T, N)."""
        returns = torch.empty_like(reward)
        for step in range(len(reward)):
            self.running = self.running * self.gamma + reward[step]
            returns[step] = self.running
            self.running = self.running * ~done[step]
        self.norm.update(returns.flatten())
        return float(1.0 / (self.norm.variance + 1.0e-8).sqrt())

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of the state, for a checkpoint."""
        state = {**self.norm.state_dict(), "running": self.running}
        return {name: value.clone() for name, value in state.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` gave."""
        self.running = state["running"].to(self.running.device, copy=True)
        self.norm.load_state_dict({name: value for name, value in state.items() if name != "running"})
