"""Generalised advantage estimation, with the three ways in which a chain of transitions ends."""

from __future__ import annotations

import torch
from torch import Tensor


def generalised_advantage(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    last: Tensor,
    gamma: float,
    lam: float,
) -> Tensor:
    """Advantages of a rollout (Schulman et al. 2016, "High-Dimensional Continuous Control", eq. 16).

    Args:
        reward: Shape: (T, N).
        value: of the observation before each step. Shape: (T, N).
        next_value: of the observation after it: an episode's own last one where it ended. Shape: (T, N).
        terminated: bool; nothing follows, so nothing is bootstrapped. Shape: (T, N).
        last: bool; the chain ends here, bootstrapped by `next_value` unless terminated: a truncation, or the
            step before a power is used. Includes the terminated ones. Shape: (T, N).
        gamma: discount a step.
        lam: weight of longer returns, 0 to 1.

    Shape: (T, N); `value` plus it is the return that the critic learns.

    """
    delta = reward + gamma * next_value * ~terminated - value
    carry = gamma * lam * (~last).to(delta.dtype)
    advantage = torch.empty_like(delta)
    running = torch.zeros_like(delta[0])
    for step in range(len(delta) - 1, -1, -1):
        running = torch.addcmul(delta[step], carry[step], running)
        advantage[step] = running
    return advantage
