"""Proximal policy optimisation (Schulman et al. 2017): one update from one rollout."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from nerfbot.agents.networks import ActorCritic, Output
from nerfbot.agents.rollout import Rollout
from nerfbot.agents.tensor_env import Observation
from nerfbot.declared import Declared, Fraction, NonNegative, Positive, PositiveInt
from nerfbot.errors import InvalidCommand

TOLD = ("loss", "policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction", "gradient_norm")
"""What an update tells of, in the order of the numbers that a minibatch gives."""

KL = TOLD.index("approx_kl")


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
    """Updates a network. `update` returns the means of losses and diagnostics over the minibatches.

    Raises `InvalidCommand` where they are no numbers any more.

    Transitions in which somebody else acted (`Rollout.powered`) take no part in the loss.
    """

    def __init__(self, network: ActorCritic, config: PPOConfig, generator: torch.Generator) -> None:
        self.network, self.config, self.generator = network, config, generator
        fused = next(network.parameters()).device.type in ("cpu", "cuda")
        self.optimiser = torch.optim.Adam(
            network.parameters(), lr=config.learning_rate, eps=1.0e-5, fused=fused
        )
        self.weights = {name: 1.0 for name in network.names}

    def update(self, rollout: Rollout, left: float = 1.0) -> dict[str, float]:
        """One update. `left`: the share of the run that remains, 1 to 0, for what falls with time."""
        config = self.config
        rate = config.learning_rate * (config.final_learning_rate + (1.0 - config.final_learning_rate) * left)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        entropy = config.entropy * (config.final_entropy + (1.0 - config.final_entropy) * left)
        told: list[Tensor] = []
        for _ in range(config.epochs):
            before = len(told)
            for observation, output, batch in self._minibatches(rollout):
                terms = self._loss(observation, output, batch, entropy)
                self.optimiser.zero_grad(set_to_none=True)
                terms[0].backward()
                norm = nn.utils.clip_grad_norm_(self.network.parameters(), config.max_gradient)
                self.optimiser.step()
                told.append(torch.stack([*terms, norm]).detach())
            if config.target_kl is not None:
                kl = max(float(terms[KL]) for terms in told[before:])
                if kl > config.target_kl:
                    break
        means = dict(zip(TOLD, torch.stack(told).mean(0).tolist(), strict=True))
        for name, value in means.items():
            if not math.isfinite(value):
                raise InvalidCommand(
                    f"{name} = {value}: learning has diverged (lower learning_rate or max_gradient)"
                )
        return {**means, "learning_rate": rate}

    def _loss(
        self, observation: Observation, output: Output, batch: dict[str, Tensor], entropy_weight: float
    ) -> tuple[Tensor, ...]:
        config = self.config
        log_prob, entropy = self.network.head.evaluate(output.policy, batch["action"], batch.get("mask"))
        weight = batch.get("weight")
        total = 1.0 if weight is None else weight.sum().clamp_min(1.0)

        def mean(values: Tensor) -> Tensor:
            return values.mean() if weight is None else (values * weight).sum() / total

        advantage = batch["advantage"]
        if config.normalise_advantage:
            centre = mean(advantage)
            advantage = (advantage - centre) / (mean((advantage - centre).square()).sqrt() + 1.0e-8)
        log_ratio = log_prob - batch["log_prob"]
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1.0 - config.clip, 1.0 + config.clip)
        policy_loss = -mean(torch.minimum(ratio * advantage, clipped * advantage))
        value_loss = torch.zeros((), device=advantage.device)
        for name, value in output.values.items():
            wanted = batch[f"return/{name}"]
            error = (value - wanted).square()
            if config.clip_value is not None:
                old = batch[f"value/{name}"]
                near = old + (value - old).clamp(-config.clip_value, config.clip_value)
                error = torch.maximum(error, (near - wanted).square())
            value_loss = value_loss + 0.5 * mean(error)
        entropy_mean = mean(entropy)
        loss = policy_loss + config.value_coefficient * value_loss - entropy_weight * entropy_mean
        if self.network.config.predicts_reward:
            told = self.network.predicted_reward(observation, batch["action"], output.features)
            miss = torch.where(told.isnan(), 0.0, told - batch["reward"].unsqueeze(1)).square().mean(1)
            loss = loss + config.reward_prediction * mean(miss)
        with torch.no_grad():
            kl = mean(ratio - 1.0 - log_ratio)
            outside = mean(((ratio - 1.0).abs() > config.clip).float())
        return loss, policy_loss, value_loss, entropy_mean, kl, outside

    def _fields(self, rollout: Rollout) -> dict[str, Tensor]:
        fields = {
            "action": rollout.action,
            "log_prob": rollout.log_prob,
            "advantage": sum(self.weights[name] * a for name, a in rollout.advantages.items()),
            "reward": rollout.rewards["task"],
            **{f"return/{name}": value for name, value in rollout.returns.items()},
        }
        if rollout.powered.any():  # else every step counts
            fields["weight"] = (~rollout.powered).float()
        if self.config.clip_value is not None:
            fields |= {f"value/{name}": value for name, value in rollout.values.items()}
        if rollout.mask is not None:
            fields["mask"] = rollout.mask
        return fields  # type: ignore[return-value]

    def _minibatches(self, rollout: Rollout):  # type: ignore[no-untyped-def]
        """Observations, outputs of the network and the fields beside them, in a new order."""
        fields = self._fields(rollout)
        device = rollout.device
        if self.network.recurrent:
            # Whole worlds stay together: their memory runs through the rollout.
            assert rollout.memory is not None
            order = torch.randperm(rollout.count, generator=self.generator, device=device)
            for worlds in order.chunk(self.config.minibatches):
                seen = {name: part[:, worlds] for name, part in rollout.observation.items()}
                with self.autocast(device):
                    output = self.network.sequence(seen, rollout.memory[worlds], rollout.first[:, worlds])
                flat_seen = {name: part.flatten(0, 1) for name, part in seen.items()}
                taken = {name: value[:, worlds].flatten(0, 1) for name, value in fields.items()}
                yield flat_seen, output, taken
            return
        observation = {name: part.flatten(0, 1) for name, part in rollout.observation.items()}
        flat = {name: value.flatten(0, 1) for name, value in fields.items()}
        order = torch.randperm(rollout.size, generator=self.generator, device=device)
        for rows in order.chunk(self.config.minibatches):
            seen = {name: part.index_select(0, rows) for name, part in observation.items()}
            with self.autocast(device):
                output = self.network(seen)
            yield seen, output, {name: value.index_select(0, rows) for name, value in flat.items()}

    def autocast(self, device: torch.device) -> torch.autocast:
        """The precision of the configuration, for the network's forward pass."""
        wanted = self.config.precision == "bfloat16"
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted)
