"""Explorers with a network that reads the state: a regressor of scores, and a policy trained on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from nerfbot.agents.encoders import Predictor
from nerfbot.agents.explorers.base import Explorer, rank_logits
from nerfbot.agents.explorers.linear import words_of
from nerfbot.agents.explorers.trials import Trials
from nerfbot.agents.heads import CategoricalHead
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.networks import ActorCritic
from nerfbot.agents.tensor_env import Observation

EGOCENTRIC = NetworkConfig(kind="egocentric", hidden=(64, 64), activation="relu")
"""The network unless another is given."""


class WordPredictor(nn.Module):
    """Scores of actions as products of the state's features with those of the words of their names."""

    def __init__(
        self, parts: Mapping[str, spaces.Box], config: NetworkConfig, features: Tensor, size: int
    ) -> None:
        super().__init__()
        self.state = Predictor(parts, config, size)
        self.names = nn.Linear(features.shape[1], size, bias=False)
        nn.init.normal_(self.names.weight, std=0.02)
        self.register_buffer("features", features)

    def forward(self, observation: Observation) -> Tensor:
        """(N, actions)."""
        scores: Tensor = self.state(observation) @ self.names(self.features).T
        return scores


class Regressor(Explorer):
    """A network that predicts each action's signed score from what is seen; the largest |prediction| leads.

    What the bandit does, with the state taken into account: least squares has the mean as its answer, so that
    noise cancels and a bias stays. It learns from the latest `memory` trials, `batch` of them for `passes`
    times a rollout. With `words` above 0, an action's score is the product of so many features of the state
    with what the words of the action's name are looked up as, so that actions share what is learned.
    """

    signal = "first-touch"
    state_names = ("model", "optimiser")

    def __init__(
        self,
        rank_power: float = 1.2,
        floor: float = 0.1,
        learning_rate: float = 1.0e-3,
        memory: int = 2048,
        batch: int = 256,
        passes: int = 4,
        words: int = 0,
        network: NetworkConfig | Mapping[str, Any] | None = None,
    ) -> None:
        self.words = words
        self.rank_power, self.floor, self.learning_rate = rank_power, floor, learning_rate
        self.capacity, self.batch, self.passes = memory, batch, passes
        self.network = NetworkConfig.model_validate(network or EGOCENTRIC)

    def start(self, parts: Mapping[str, spaces.Box], *arguments: Any) -> None:
        """Build the network."""
        super().start(parts, *arguments)
        if self.words:
            features, _ = words_of(self.names, self.moves)
            self.model: nn.Module = WordPredictor(parts, self.network, features.float(), self.words)
        else:
            self.model = Predictor(parts, self.network, self.actions, 0.01)
        self.model.to(self.device)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=self.learning_rate, weight_decay=1e-4)
        self.replay: Trials | None = None

    def logits(self, observation: Observation, mask: Tensor) -> Tensor:
        """By rank of the predictions' size."""
        return rank_logits(self.model(observation).abs(), self.powers(mask), self.rank_power, self.floor)

    def learn(self, trials: Trials) -> dict[str, float]:
        """Regress on the latest trials."""
        replay = trials if self.replay is None else Trials.joined([self.replay, trials])
        self.replay = replay = replay.select(slice(-self.capacity, None))
        size = (min(self.batch, len(replay)),)
        losses = []
        for _ in range(self.passes):
            rows = torch.randint(len(replay), size, generator=self.generator, device=self.device)
            batch = replay.select(rows)
            predicted = self.model(batch.observation).gather(1, batch.action.unsqueeze(1)).squeeze(1)
            loss = nn.functional.mse_loss(predicted, batch.score)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
            losses.append(loss.detach())
        return {
            "explorer_score": float(trials.score.abs().mean()),
            "explorer_loss": float(torch.stack(losses).mean()),
        }

    def state_dict(self) -> dict[str, Any]:
        """With the latest trials."""
        return {**super().state_dict(), "memory": None if self.replay is None else self.replay.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """With the latest trials."""
        trials = state["memory"]
        super().load_state_dict({name: value for name, value in state.items() if name != "memory"})
        self.replay = None if trials is None else Trials.restored(trials, self.device)


class PolicyExplorer(Explorer):
    """A policy of its own, trained by policy gradient on the size of the scores, against its own critic."""

    signal = "td-surprise"
    state_names = ("model", "optimiser", "scale")

    def __init__(
        self,
        learning_rate: float = 1.0e-3,
        entropy: float = 0.02,
        clip: float = 0.2,
        epochs: int = 4,
        batch: int = 128,
        network: NetworkConfig | Mapping[str, Any] | None = None,
    ) -> None:
        self.learning_rate, self.entropy, self.clip = learning_rate, entropy, clip
        self.epochs, self.batch = epochs, batch
        self.network = NetworkConfig.model_validate(network or EGOCENTRIC)

    def start(self, parts: Mapping[str, spaces.Box], *arguments: Any) -> None:
        """Build the network."""
        super().start(parts, *arguments)
        self.model = ActorCritic(parts, CategoricalHead(self.actions), self.network, ("score",)).to(
            self.device
        )
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=self.learning_rate)
        self.scale = torch.ones((), device=self.device)
        self.waiting: list[Trials] = []

    def logits(self, observation: Observation, mask: Tensor) -> Tensor:
        """Of its policy."""
        return self.model(observation).policy

    def learn(self, trials: Trials) -> dict[str, float]:
        """A clipped update once enough trials have come together."""
        self.waiting.append(trials)
        metrics = {"explorer_score": float(trials.score.abs().mean())}
        if sum(map(len, self.waiting)) < self.batch:
            return metrics
        batch, self.waiting = Trials.joined(self.waiting), []
        score = batch.score.abs()
        self.scale.lerp_(score.square().mean().sqrt(), 0.1)
        score = score / (self.scale + 1e-6)
        open_now = self.powers(batch.mask)
        for _ in range(self.epochs):
            output = self.model(batch.observation)
            log_prob, entropy = self.model.head.evaluate(output.policy, batch.action, open_now)
            value = output.values["score"]
            advantage = score - value.detach()
            advantage = (advantage - advantage.mean()) / (advantage.std(unbiased=False) + 1e-6)
            ratio = (log_prob - batch.log_prob).exp()
            clipped = ratio.clamp(1 - self.clip, 1 + self.clip)
            loss = -torch.minimum(ratio * advantage, clipped * advantage).mean()
            loss = loss + 0.5 * (value - score).square().mean() - self.entropy * entropy.mean()
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 0.5)
            self.optimiser.step()
        return {**metrics, "explorer_entropy": float(entropy.detach().mean())}

    def state_dict(self) -> dict[str, Any]:
        """With the trials that wait."""
        return {**super().state_dict(), "waiting": [trials.state_dict() for trials in self.waiting]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """With the trials that wait."""
        super().load_state_dict({name: value for name, value in state.items() if name != "waiting"})
        self.waiting = [Trials.restored(trials, self.device) for trials in state["waiting"]]
