"""Proximal policy optimisation (Schulman et al. 2017): one update from one rollout."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from nerfbot.agents.networks import ActorCritic, Output
from nerfbot.agents.rollout import Minibatch, Rollout
from nerfbot.declared import Declared, Fraction, NonNegative, Positive, PositiveInt
from nerfbot.errors import InvalidCommand

METRICS = ("loss", "policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction", "gradient_norm")
"""What an update reports, in the order of the numbers that a minibatch gives."""

KL = METRICS.index("approx_kl")


class PPOConfig(Declared):
    """Numbers of the algorithm, in the field's own names.

    A rollout is `rollout_steps` steps of every world, used `epochs` times in `minibatches` parts.
    `learning_rate` falls to `final_learning_rate` times itself on a straight line over the run; `entropy` to
    `final_entropy` times itself. `clip_value` clips the critic's step as the policy's (None: not at all);
    `target_kl` stops an update's epochs early. `reward_prediction` weighs the auxiliary loss (Jaderberg et
    al. 2017) of a network that predicts rewards. `precision` of the matrix products; weights stay float32.
    """

    rollout_steps: PositiveInt = 16
    epochs: PositiveInt = 3
    minibatches: PositiveInt = 4
    learning_rate: Positive = 1.0e-3
    final_learning_rate: Fraction = 0.0
    gamma: Fraction = 0.99
    lam: Fraction = 0.95
    clip: Positive = 0.2
    clip_value: Positive | None = None
    entropy: NonNegative = 0.01
    final_entropy: Fraction = 1.0
    value_coefficient: NonNegative = 0.5
    max_gradient: Positive = 0.5
    normalise_advantage: bool = True
    target_kl: Positive | None = None
    squash: bool = False
    normalise_observations: bool = False
    normalise_rewards: bool = False
    reward_prediction: NonNegative = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"


class PPO:
    """Updates a network from rollouts.

    Transitions in which the explorer acted (`Rollout.powered`) take no part in the loss.
    """

    def __init__(self, network: ActorCritic, config: PPOConfig, generator: torch.Generator) -> None:
        self.network, self.config, self.generator = network, config, generator
        fused = next(network.parameters()).device.type in ("cpu", "cuda")
        self.optimiser = torch.optim.Adam(
            network.parameters(), lr=config.learning_rate, eps=1.0e-5, fused=fused
        )

    def update(self, rollout: Rollout, remaining: float = 1.0) -> dict[str, float]:
        """One update; the means of `METRICS` over its minibatches, and the learning rate.

        `remaining`: the share of the run that is left, 1 to 0, for what falls with time. Raises
        `InvalidCommand` where a metric is not finite.
        """
        config = self.config
        rate = config.learning_rate * (
            config.final_learning_rate + (1.0 - config.final_learning_rate) * remaining
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        entropy_weight = config.entropy * (config.final_entropy + (1.0 - config.final_entropy) * remaining)
        metrics: list[Tensor] = []
        for _ in range(config.epochs):
            before = len(metrics)
            for batch in self.minibatches(rollout):
                terms = self.loss(batch, self.forward(batch), entropy_weight)
                self.optimiser.zero_grad(set_to_none=True)
                terms[0].backward()
                norm = nn.utils.clip_grad_norm_(self.network.parameters(), config.max_gradient)
                self.optimiser.step()
                metrics.append(torch.stack([*terms, norm]).detach())
            kls = (float(terms[KL]) for terms in metrics[before:])
            if config.target_kl is not None and max(kls) > config.target_kl:
                break
        means = dict(zip(METRICS, torch.stack(metrics).mean(0).tolist(), strict=True))
        for name, value in means.items():
            if not math.isfinite(value):
                raise InvalidCommand(
                    f"{name} = {value}: learning has diverged (lower learning_rate or max_gradient)"
                )
        return {**means, "learning_rate": rate}

    def minibatches(self, rollout: Rollout) -> Iterator[Minibatch]:
        """The minibatches of one epoch."""
        return rollout.minibatches(
            self.config.minibatches,
            self.generator,
            whole_worlds=self.network.recurrent,
            with_values=self.config.clip_value is not None,
        )

    def forward(self, batch: Minibatch) -> Output:
        """The network's outputs for a minibatch."""
        with self.autocast(batch.action.device):
            if batch.hidden_state is not None and batch.is_first is not None:
                return self.network.sequence(batch.observation, batch.hidden_state, batch.is_first)
            output: Output = self.network(batch.observation)
        return output

    def loss(self, batch: Minibatch, output: Output, entropy_weight: float) -> tuple[Tensor, ...]:
        """The loss and the other `METRICS` of a minibatch, but for the gradient's norm."""
        config, weight = self.config, batch.weight
        log_prob, entropy = self.network.head.evaluate(output.policy, batch.action, batch.mask)
        total = 1.0 if weight is None else weight.sum().clamp_min(1.0)

        def mean(values: Tensor) -> Tensor:
            return values.mean() if weight is None else (values * weight).sum() / total

        advantage = batch.advantage
        if config.normalise_advantage:
            centre = mean(advantage)
            advantage = (advantage - centre) / (mean((advantage - centre).square()).sqrt() + 1.0e-8)
        log_ratio = log_prob - batch.log_prob
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1.0 - config.clip, 1.0 + config.clip)
        policy_loss = -mean(torch.minimum(ratio * advantage, clipped * advantage))
        value_loss = torch.zeros((), device=advantage.device)
        for name, value in output.values.items():
            target = batch.returns[name]
            error = (value - target).square()
            if config.clip_value is not None:
                old = batch.values[name]
                near = old + (value - old).clamp(-config.clip_value, config.clip_value)
                error = torch.maximum(error, (near - target).square())
            value_loss = value_loss + 0.5 * mean(error)
        entropy_mean = mean(entropy)
        loss = policy_loss + config.value_coefficient * value_loss - entropy_weight * entropy_mean
        if self.network.config.predicts_reward:
            predicted = self.network.predicted_reward(batch.observation, batch.action, output.features)
            error = torch.where(predicted.isnan(), 0.0, predicted - batch.reward.unsqueeze(1)).square()
            loss = loss + config.reward_prediction * mean(error.mean(1))
        with torch.no_grad():
            kl = mean(ratio - 1.0 - log_ratio)
            clip_fraction = mean(((ratio - 1.0).abs() > config.clip).float())
        return loss, policy_loss, value_loss, entropy_mean, kl, clip_fraction

    def autocast(self, device: torch.device) -> torch.autocast:
        """The precision of the configuration, for the network's forward pass."""
        reduced = self.config.precision == "bfloat16"
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=reduced)
