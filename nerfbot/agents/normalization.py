"""Running means and variances, for observations and returns whose scale nobody knows beforehand."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RunningNorm(nn.Module):
    """Subtracts the mean and divides by the deviation of all values seen so far; saved with the policy.

    Means and variances are merged batch by batch (Chan et al. 1979), exact whatever the batches' sizes.
    """

    mean: Tensor
    variance: Tensor
    seen: Tensor

    def __init__(self, shape: tuple[int, ...], limit: float = 10.0) -> None:
        super().__init__()
        self.limit = limit
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def update(self, values: Tensor) -> None:
        """Take in values (N, *shape)."""
        values = values.double()
        count = float(len(values))
        mean, variance = values.mean(0), values.var(0, unbiased=False)
        total = self.seen + count
        away = mean - self.mean
        self.variance.copy_(
            (self.variance * self.seen + variance * count + away.square() * self.seen * count / total) / total
        )
        self.mean.add_(away * count / total)
        self.seen.copy_(total)

    def forward(self, values: Tensor) -> Tensor:
        """Normalised, clipped at `limit` deviations. The shape stays; float32."""
        deviation = (self.variance + 1.0e-8).sqrt().float()
        return ((values.float() - self.mean.float()) / deviation).clamp(-self.limit, self.limit)


class ReturnScale:
    """One over the deviation of discounted returns, by which rewards are multiplied (the scale alone)."""

    def __init__(self, count: int, gamma: float, device: torch.device) -> None:
        self.norm = RunningNorm((), limit=float("inf")).to(device)
        self.running = torch.zeros(count, device=device)
        self.gamma = gamma

    def update(self, reward: Tensor, ended: Tensor) -> float:
        """Take in a rollout's rewards and ends, (T, N); the scale from now on."""
        returns = torch.empty_like(reward)
        for step in range(len(reward)):
            self.running = self.running * self.gamma + reward[step]
            returns[step] = self.running
            self.running = self.running * ~ended[step]
        self.norm.update(returns.flatten())
        return float(1.0 / (self.norm.variance + 1.0e-8).sqrt())

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        kept = {**self.norm.state_dict(), "running": self.running}
        return {name: value.clone() for name, value in kept.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """From a checkpoint."""
        self.running = state["running"].to(self.running.device, copy=True)
        self.norm.load_state_dict({name: value for name, value in state.items() if name != "running"})
