"""The linear explorer: Bayesian linear regression on the words of actions' names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nerfbot.agents.explorers.base import Explorer, rank_logits
from nerfbot.agents.explorers.trials import Trials
from nerfbot.agents.tensor_env import Observation

CLIP = 4.0
"""Root mean squares at which a score is clipped."""

WINDOW = 200
"""Trials that the running root mean square goes over."""

GREEDY_POWER = 64.0
"""A power of ranks at which the second best has no share."""

MOST_WHOLE_NAMES = 512
"""Powers of a menu in which whole names have a weight too; in a larger one only words have."""


def words_of(names: Sequence[str], moves: int) -> tuple[Tensor, int]:
    """What each action's name consists of, float64 (actions, 1 + words + whole names), and the number of
    words.

    The first column is 1 for every power, the next ones are the words, then the whole names; moves have
    zeros.
    """
    powers = names[moves:]
    words = sorted({word for name in powers for word in name.split()})
    own = len(powers) if len(powers) <= MOST_WHOLE_NAMES else 0
    features = torch.zeros(len(names), 1 + len(words) + own, dtype=torch.float64)
    for index, name in enumerate(powers):
        row = features[moves + index]
        row[0] = 1.0
        for word in name.split():
            row[1 + words.index(word)] = 1.0
        if own:
            row[1 + len(words) + index] = 1.0
    return features, len(words)


class Linear(Explorer):
    """Bayesian linear regression on the words of a power's name: what it learns of one red thing, it expects
    of every red thing until it has tried that one.

    The score of ``rewrite-cell red gem`` is a sum of weights: of each word, of the whole name, and of a
    constant. The weights drift, since the policy learns: a Kalman filter whose variance grows back over
    `horizon` trials. Powers are ranked by their score's mean and `optimism` deviations of it (see
    `rank_logits` for `rank_power` and `floor`); with `sampled`, a choice takes the best power under weights
    drawn from the posterior instead (Thompson 1933).

    `word` and `whole`: prior standard deviations of a word's and a whole name's weight; `noise` of a score;
    all in units of the scores' running root mean square, which falls as the policy learns.
    """

    signal = "possible-surprise"
    state_names = ("mean", "covariance", "root", "scale")

    def __init__(
        self,
        rank_power: float = 2.0,
        floor: float = 0.05,
        optimism: float = 1.0,
        word: float = 0.3,
        whole: float = 0.05,
        noise: float = 0.5,
        horizon: float = 1000.0,
        sampled: bool = False,
    ) -> None:
        self.rank_power, self.floor, self.optimism, self.sampled = rank_power, floor, optimism, sampled
        self.word, self.whole, self.noise, self.horizon = word, whole, noise, horizon

    def start(self, *arguments: Any) -> None:
        """Nothing is known but that scores are near 0."""
        super().start(*arguments)
        self.features, words = words_of(self.names, self.moves)
        deviation = torch.full((self.features.shape[1],), self.whole, dtype=torch.float64)
        deviation[: 1 + words] = self.word
        self.features, self.prior = self.features.to(self.device), deviation.square().to(self.device)
        self.mean = torch.zeros_like(self.prior)
        self.covariance = self.prior.diag()
        self.root = self.prior.sqrt().diag()
        self.scale = torch.zeros((), dtype=torch.float64, device=self.device)
        self._update_bound()

    def _update_bound(self) -> None:
        """The upper bound of every power's score: its mean and `optimism` standard deviations."""
        deviation = (self.features @ self.root).square().sum(1).sqrt()
        self.bound = self.features @ self.mean + self.optimism * deviation

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """With the bound that follows from it."""
        super().load_state_dict(state)
        self._update_bound()

    def logits(self, observation: Observation, mask: Tensor) -> Tensor:
        """By rank of the scores' upper bound, or of scores drawn for each choice."""
        if self.sampled:
            shape = (len(mask), len(self.mean))
            drawn = torch.randn(shape, generator=self.generator, device=self.device).double()
            score = (self.mean + drawn @ self.root.T) @ self.features.T
        else:
            score = self.bound.expand(len(mask), -1)
        power = GREEDY_POWER if self.sampled else self.rank_power
        return rank_logits(score.float(), self.powers(mask), power, self.floor)

    def learn(self, trials: Trials) -> dict[str, float]:
        """One step of the filter."""
        features, score = self.features[trials.action], trials.score.double()
        square = score.square().mean()
        share = min(1.0, len(trials) / WINDOW)
        self.scale = square if self.scale == 0 else self.scale.lerp(square, share)
        score = (score / (self.scale.sqrt() + 1e-9)).clamp(-CLIP, CLIP)
        self.covariance += (self.prior * len(trials) / self.horizon).diag()
        spread = self.covariance @ features.T
        within = features @ spread + self.noise**2 * torch.eye(len(trials), device=self.device)
        gain = torch.linalg.solve(within, spread.T).T
        self.mean = self.mean + gain @ (score - features @ self.mean)
        self.covariance = self.covariance - gain @ spread.T
        self.covariance = 0.5 * (self.covariance + self.covariance.T)
        self.root = torch.linalg.cholesky(self.covariance + 1e-9 * self.prior.diag())
        self._update_bound()
        return {"explorer_score": float(trials.score.abs().mean())}
