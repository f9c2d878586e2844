"""Explorers: who acts while a power is open, and learns from exploration scores alone.

Each is a small class with `act` and `learn`; the learner knows no other difference between them. None of them
sees the task's reward, save through the signal that scores their trials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from gymnasium import spaces
from pydantic import ValidationError
from torch import Tensor, nn

from nerfbot.agents.explorers.trials import Trials
from nerfbot.agents.heads import CLOSED, CategoricalHead
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.networks import ActorCritic, Predictor
from nerfbot.agents.state_dict import give_back, keep
from nerfbot.agents.tensor_env import Observation
from nerfbot.declared import find_mistake, suggestion
from nerfbot.errors import InvalidCommand

EGOCENTRIC = NetworkConfig(kind="egocentric", hidden=(64, 64), activation="relu")
"""What explorers that learn from what is seen see it with, unless told otherwise."""


class Explorer:
    """Base: chooses uniformly among the powers that are open, and learns nothing (the random arm)."""

    signal: str = "td-surprise"
    derived: tuple[str, ...] = ("generator",)
    """Attributes that are somebody else's, or follow from the others: no part of its state."""

    @property
    def name(self) -> str:
        """What it is, as a checkpoint tells it."""
        return type(self).__name__

    def start(
        self,
        parts: Mapping[str, spaces.Box],
        names: Sequence[str],
        moves: int,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        """Make ready. `names` of the actions, of which the first `moves` are no powers; `generator` for every
        draw.
        """
        self.names, self.moves, self.generator, self.device = tuple(names), moves, generator, device
        self.actions = len(self.names)

    def powers(self, mask: Tensor) -> Tensor:
        """The open powers among the open actions, (M, actions)."""
        mask = mask.clone()
        mask[:, : self.moves] = False
        return mask

    def logits(self, observation: Observation, mask: Tensor) -> Tensor:
        """Preferences, (M, actions); what is not open does not matter."""
        return torch.zeros(mask.shape, device=mask.device)

    @torch.no_grad()
    def act(self, observation: Observation, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Choose in M worlds with a power open: actions (M,) and their log-probabilities (M,)."""
        head = CategoricalHead(self.actions)
        open_now, logits = self.powers(mask), self.logits(observation, mask)
        action = head.sample(logits, open_now, self.generator)
        return action, head.evaluate(logits, action, open_now)[0]

    def learn(self, trials: Trials) -> dict[str, float]:
        """Learn from trials that have ended; what to tell of it."""
        return {}

    def state(self) -> dict[str, Any]:
        """What it has learned, for a checkpoint; the generator is the learner's."""
        return keep(self, without=self.derived)

    def restore(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        give_back(self, state, without=self.derived)


def rank_logits(score: Tensor, open_now: Tensor, power: float, floor: float) -> Tensor:
    """Logits of P(k) = (1 - floor) rank(k)**-power / sum + floor / open, ranks by falling score, from 1.

    Shapes: (M, actions). Ranks do not care for the scores' scale, which changes while the critic learns.
    """
    masked = score.masked_fill(~open_now, CLOSED)
    order = masked.argsort(dim=-1, descending=True, stable=True)
    ranks = torch.empty_like(masked)
    counted = torch.arange(1, masked.shape[-1] + 1, device=masked.device, dtype=masked.dtype)
    ranks.scatter_(-1, order, counted.expand_as(masked))
    share = ranks.pow(-power) * open_now
    share = share / share.sum(-1, keepdim=True).clamp_min(1e-9)
    even = open_now / open_now.sum(-1, keepdim=True).clamp_min(1)
    return ((1.0 - floor) * share + floor * even).clamp_min(1e-12).log()


class Bandit(Explorer):
    """A signed moving average of the score for every action, whatever the state; the largest |average| leads.

    Signed, so that noise cancels and a bias of the critic stays. `rate` of the average; `rank_power` and
    `floor` as in `rank_logits`. `refresh` trials stand between two looks at the averages.
    """

    signal = "first-touch"

    def __init__(self, rate: float = 0.1, rank_power: float = 1.2, floor: float = 0.1) -> None:
        self.rate, self.rank_power, self.floor = rate, rank_power, floor

    def start(self, *given: Any) -> None:
        """All averages are 0 at first, in a random order."""
        super().start(*given)
        self.average = torch.zeros(self.actions, device=self.device)
        noise = torch.rand(self.actions, generator=self.generator, device=self.device)
        self.tie = noise * 1e-6  # a random order where nothing is known yet, in place of the menu's

    def logits(self, observation: Observation, mask: Tensor) -> Tensor:
        """By rank of the averages' size."""
        score = (self.average.abs() + self.tie).expand(len(mask), -1)
        return rank_logits(score, self.powers(mask), self.rank_power, self.floor)

    def learn(self, trials: Trials) -> dict[str, float]:
        """Move the averages, one trial after another."""
        for action, score in zip(trials.action.tolist(), trials.score.tolist(), strict=True):
            self.average[action] += self.rate * (score - float(self.average[action]))
        return {"explorer_score": float(trials.score.abs().mean())}


LOUDEST = 4.0
"""Root mean squares that a score counts for at the most."""

LOOKED_AT = 200
"""Trials that the running root mean square goes over."""


MOST_WHOLE = 512
"""Powers that have a weight for their whole name; of a larger menu, only the words have."""


def words_of(names: Sequence[str], moves: int) -> tuple[Tensor, int]:
    """What each action's name consists of, float64 (actions, 1 + words + whole names), and the number of
    words.

    The first column is 1 for every power, the next ones are the words, then the whole names; moves have
    zeros.
    """
    powers = names[moves:]
    words = sorted({word for name in powers for word in name.split()})
    own = len(powers) if len(powers) <= MOST_WHOLE else 0
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
    of every red thing, until the thing itself was tried.

    The score of ``rewrite-cell red gem`` is a sum of weights: of each word, of the whole name, and of
    nothing. The weights drift, since the policy learns: a Kalman filter whose doubt comes back over `horizon`
    trials. Powers are ranked by their score's mean and `optimism` deviations of it (see `rank_logits` for
    `rank_power` and `floor`); with `sampled`, a choice takes the best power under weights drawn from the
    posterior instead (Thompson 1933).

    `word` and `whole`: prior standard deviations of a word's and a whole name's weight; `noise` of a score;
    all in units of the scores' running root mean square, which falls as the policy learns.
    """

    signal = "possible-surprise"
    derived = ("generator", "features", "prior", "hope")

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

    def start(self, *given: Any) -> None:
        """Nothing is known but that scores are near 0."""
        super().start(*given)
        self.features, words = words_of(self.names, self.moves)
        deviation = torch.full((self.features.shape[1],), self.whole, dtype=torch.float64)
        deviation[: 1 + words] = self.word
        self.features, self.prior = self.features.to(self.device), deviation.square().to(self.device)
        self.mean = torch.zeros_like(self.prior)
        self.covariance = self.prior.diag()
        self.root = self.prior.sqrt().diag()
        self.scale = torch.zeros((), dtype=torch.float64, device=self.device)
        self._look()

    def _look(self) -> None:
        """The hopeful score of every power, until the next trials: mean and deviations of doubt."""
        deviation = (self.features @ self.root).square().sum(1).sqrt()
        self.hope = self.features @ self.mean + self.optimism * deviation

    def restore(self, state: Mapping[str, Any]) -> None:
        """With what follows from it."""
        super().restore(state)
        self._look()

    def logits(self, observation: Observation, mask: Tensor) -> Tensor:
        """By rank of the hopeful score, or of scores drawn for each choice."""
        if self.sampled:
            shape = (len(mask), len(self.mean))
            drawn = torch.randn(shape, generator=self.generator, device=self.device).double()
            score = (self.mean + drawn @ self.root.T) @ self.features.T
        else:
            score = self.hope.expand(len(mask), -1)
        power = SHARPEST if self.sampled else self.rank_power
        return rank_logits(score.float(), self.powers(mask), power, self.floor)

    def learn(self, trials: Trials) -> dict[str, float]:
        """One step of the filter."""
        seen, score = self.features[trials.action], trials.score.double()
        square = score.square().mean()
        share = min(1.0, len(trials) / LOOKED_AT)
        self.scale = square if self.scale == 0 else self.scale.lerp(square, share)
        score = (score / (self.scale.sqrt() + 1e-9)).clamp(-LOUDEST, LOUDEST)
        self.covariance += (self.prior * len(trials) / self.horizon).diag()
        spread = self.covariance @ seen.T
        within = seen @ spread + self.noise**2 * torch.eye(len(trials), device=self.device)
        gain = torch.linalg.solve(within, spread.T).T
        self.mean = self.mean + gain @ (score - seen @ self.mean)
        self.covariance = self.covariance - gain @ spread.T
        self.covariance = 0.5 * (self.covariance + self.covariance.T)
        self.root = torch.linalg.cholesky(self.covariance + 1e-9 * self.prior.diag())
        self._look()
        return {"explorer_score": float(trials.score.abs().mean())}


SHARPEST = 64.0
"""A power of ranks at which the second best has no share."""


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
        self.memory, self.batch, self.passes = memory, batch, passes
        self.network = NetworkConfig.model_validate(network or EGOCENTRIC)

    def start(self, parts: Mapping[str, spaces.Box], *given: Any) -> None:
        """Build the network."""
        super().start(parts, *given)
        if self.words:
            features, _ = words_of(self.names, self.moves)
            self.model: nn.Module = WordPredictor(parts, self.network, features.float(), self.words)
        else:
            self.model = Predictor(parts, self.network, self.actions, 0.01)
        self.model.to(self.device)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=self.learning_rate, weight_decay=1e-4)
        self.kept: Trials | None = None

    def logits(self, observation: Observation, mask: Tensor) -> Tensor:
        """By rank of the predictions' size."""
        return rank_logits(self.model(observation).abs(), self.powers(mask), self.rank_power, self.floor)

    def learn(self, trials: Trials) -> dict[str, float]:
        """Regress on the memory."""
        kept = trials if self.kept is None else Trials.joined([self.kept, trials])
        self.kept = kept = kept.select(slice(-self.memory, None))
        losses = []
        for _ in range(self.passes):
            rows = torch.randint(
                len(kept), (min(self.batch, len(kept)),), generator=self.generator, device=self.device
            )
            some = kept.select(rows)
            said = self.model(some.observation).gather(1, some.action.unsqueeze(1)).squeeze(1)
            loss = nn.functional.mse_loss(said, some.score)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
            losses.append(loss.detach())
        return {
            "explorer_score": float(trials.score.abs().mean()),
            "explorer_loss": float(torch.stack(losses).mean()),
        }

    def state(self) -> dict[str, Any]:
        """With the memory."""
        return {**super().state(), "memory": None if self.kept is None else self.kept.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """With the memory."""
        memory = state["memory"]
        super().restore({name: value for name, value in state.items() if name != "memory"})
        self.kept = None if memory is None else Trials.restored(memory, self.device)


class PolicyExplorer(Explorer):
    """A policy of its own, trained by policy gradient on the size of the scores, against its own critic."""

    signal = "td-surprise"

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

    def start(self, parts: Mapping[str, spaces.Box], *given: Any) -> None:
        """Build the network."""
        super().start(parts, *given)
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
        told = {"explorer_score": float(trials.score.abs().mean())}
        if sum(map(len, self.waiting)) < self.batch:
            return told
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
        return {**told, "explorer_entropy": float(entropy.detach().mean())}

    def state(self) -> dict[str, Any]:
        """With the trials that wait."""
        return {**super().state(), "waiting": [trials.state() for trials in self.waiting]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """With the trials that wait."""
        super().restore({name: value for name, value in state.items() if name != "waiting"})
        self.waiting = [Trials.restored(trials, self.device) for trials in state["waiting"]]


class Shuffled(Explorer):
    """An explorer whose trials get one another's scores: its habits remain, not what it finds out."""

    def __init__(self, inner: Explorer) -> None:
        self.inner, self.signal = inner, inner.signal

    @property
    def name(self) -> str:
        """With the inner one's."""
        return f"Shuffled {self.inner.name}"

    def start(self, parts: Mapping[str, spaces.Box], *given: Any) -> None:
        """Make the inner one ready."""
        super().start(parts, *given)
        self.inner.start(parts, *given)

    def act(self, observation: Observation, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The inner one's choice."""
        return self.inner.act(observation, mask)

    def learn(self, trials: Trials) -> dict[str, float]:
        """Permute the scores, then let the inner one learn."""
        order = torch.randperm(len(trials), generator=self.generator, device=self.device)
        return self.inner.learn(replace(trials, score=trials.score[order]))

    def state(self) -> dict[str, Any]:
        """The inner one's."""
        return self.inner.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """To the inner one."""
        self.inner.restore(state)


EXPLORERS: dict[str, Callable[..., Explorer]] = {
    "random": Explorer,
    "bandit": Bandit,
    "linear": Linear,
    "regressor": Regressor,
    "policy": PolicyExplorer,
}
"""Every explorer by its name."""


def load_explorer(name: str, shuffled: bool = False, **options: Any) -> Explorer:
    """An explorer by its name. Raises `InvalidCommand` for an unknown name or option."""
    if name not in EXPLORERS:
        raise InvalidCommand(f"explorer: unknown {name!r}{suggestion(name, EXPLORERS)}")
    try:
        explorer = EXPLORERS[name](**options)
    except ValidationError as problem:
        line = find_mistake(problem, NetworkConfig).line("network")
        raise InvalidCommand(f"explorer {name!r}: {line}") from None
    except TypeError as problem:
        raise InvalidCommand(f"explorer {name!r}: {problem}") from None
    return Shuffled(explorer) if shuffled else explorer
