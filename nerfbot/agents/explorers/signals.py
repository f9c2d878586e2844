"""How informative what followed the use of a power turned out to be: exploration signals as small objects.

A trial begins where a power is used and ends with the episode, or where the next power opens. A signal keeps
one number a world while trials run, reads each rollout once it is complete, and gives a trial's score when it
ends. Scores may be signed; an explorer says what it makes of the sign.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from nerfbot.agents.encoders import is_grid
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.networks import Predictor
from nerfbot.agents.rollout import Rollout
from nerfbot.agents.state_dict import give_back, keep
from nerfbot.agents.tensor_env import Observation
from nerfbot.errors import InvalidCommand


class Signal:
    """Base: a discounted sum over the trial of one number a step. `gamma` is the sum's discount.

    A subclass gives `per_step`, and overrides the rest only where its score is no such sum. `needs_contact`:
    it means nothing in an environment that does not tell what was touched. `needs_rewards`: nor with a
    network that predicts no rewards; `needs_reward_map`: nor with one that does so for no map. `derived`:
    attributes that come anew from each rollout, and are no part of its state.
    """

    needs_contact = False
    needs_rewards = False
    needs_reward_map = False
    derived: tuple[str, ...] = ("steps",)

    def __init__(self, gamma: float = 0.99) -> None:
        self.gamma = gamma

    def start(self, count: int, parts: Mapping[str, spaces.Box], device: torch.device) -> None:
        """Make room for `count` worlds with these parts of an observation."""
        self.total = torch.zeros(count, device=device)
        self.weight = torch.ones(count, device=device)

    def per_step(self, rollout: Rollout) -> Tensor:
        """The number of every step, (steps, count)."""
        raise NotImplementedError

    def prepare(self, rollout: Rollout) -> None:
        """Look at a complete rollout before its steps are gone through."""
        self.steps = self.per_step(rollout)

    def open(self, rows: Tensor) -> None:
        """Trials begin in these worlds, bool (count,)."""
        self.total.masked_fill_(rows, 0.0)
        self.weight.masked_fill_(rows, 1.0)

    def step(self, step: int, rows: Tensor, rollout: Rollout) -> None:
        """Trials in these worlds lived through this step of the rollout."""
        self.total += torch.where(rows, self.weight * self.steps[step], torch.zeros_like(self.total))
        self.weight = torch.where(rows, self.weight * self.gamma, self.weight)

    def close(self) -> Tensor:
        """The score of the trial of every world, (count,); only the rows of trials that end mean anything."""
        return self.total

    def learn(self, rollout: Rollout) -> dict[str, float]:
        """Train what the signal itself learns, after the rollout was scored."""
        return {}

    def state(self) -> dict[str, Any]:
        """Everything it has learned and holds, for a checkpoint."""
        return keep(self, without=self.derived)

    def restore(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint."""
        give_back(self, state, without=self.derived)


class TDSurprise(Signal):
    """Sum of |TD error| of the task's critic: make situations in which my own prediction turns out wrong."""

    def per_step(self, rollout: Rollout) -> Tensor:
        """The errors' size."""
        return rollout.errors.abs()


class SignedSurprise(Signal):
    """Sum of -TD error: what was promised and did not come. Noise cancels over trials, a bias stays."""

    def per_step(self, rollout: Rollout) -> Tensor:
        """The errors with their sign turned."""
        return -rollout.errors


class Nothing(Signal):
    """Always 0: what an explorer does where nothing is worth more than anything else."""

    def per_step(self, rollout: Rollout) -> Tensor:
        """Zeros."""
        return torch.zeros_like(rollout.errors)


class TaskReturn(Signal):
    """The task's own reward: what the seed's authors warn of, kept to show why."""

    def per_step(self, rollout: Rollout) -> Tensor:
        """The reward."""
        return rollout.rewards["task"]


class PositiveValueLoss(Signal):
    """Sum of the advantages' positive parts, the regret estimate of PLR (Jiang et al. 2021)."""

    def per_step(self, rollout: Rollout) -> Tensor:
        """What came better than predicted."""
        return rollout.advantages["task"].clamp_min(0.0)


class FirstTouch(Signal):
    """The error at the first touch of anything: the value just before it, less the next reward, discounted.

    Signed; 0 where nothing is touched, so that edits that merely empty the world score nothing. Only the next
    reward counts: a second coin is no surprise about the first.
    """

    needs_contact = True

    def start(self, count: int, parts: Mapping[str, spaces.Box], device: torch.device) -> None:
        """Beside the base's: whether something was touched already."""
        super().start(count, parts, device)
        self.touched = torch.zeros(count, dtype=torch.bool, device=device)

    def prepare(self, rollout: Rollout) -> None:
        """The rollout tells all: value, reward and contact."""

    def open(self, rows: Tensor) -> None:
        """Nothing is touched yet."""
        super().open(rows)
        self.touched &= ~rows

    def step(self, step: int, rows: Tensor, rollout: Rollout) -> None:
        """From the first touch on, take the rewards off the value before it."""
        now = rows & ~self.touched & (rollout.contact[step] != 0)
        self.total = torch.where(now, rollout.values["task"][step], self.total)
        self.weight.masked_fill_(now, 1.0)
        self.touched |= now
        after = rows & self.touched
        reward = rollout.rewards["task"][step]
        self.total -= torch.where(after, self.weight * reward, torch.zeros_like(self.total))
        # After a reward the weight is 0.
        self.weight = torch.where(after, self.weight * self.gamma * (reward == 0), self.weight)


class RewardSurprise(Signal):
    """The largest squared error of the policy's own prediction of a reward: what it turned out not to know.

    The largest, not the sum: one surprise repeated is no greater. And only what exceeds the running mean of
    the same error where no power was used, of steps that brought a reward and of those that brought none
    apart: an error that is made everywhere is no finding of this edit's. What the network has learned to
    predict surprises no more, so that this signal fades kind by kind.
    """

    needs_rewards = True

    def start(self, count: int, parts: Mapping[str, spaces.Box], device: torch.device) -> None:
        """Beside the base's: the usual errors, without and with a reward."""
        super().start(count, parts, device)
        self.usual = torch.zeros(2, device=device)
        self.known = torch.zeros(2, dtype=torch.bool, device=device)

    def per_step(self, rollout: Rollout) -> Tensor:
        """The squared error; 0 where nothing was predicted."""
        assert rollout.predicted is not None
        return (rollout.rewards["task"] - rollout.predicted).square().nan_to_num(0.0)

    def step(self, step: int, rows: Tensor, rollout: Rollout) -> None:
        """Look at the worlds without a trial, then keep the largest excess of those with one."""
        error, paid = self.steps[step], (rollout.rewards["task"][step] != 0.0).long()
        elsewhere = ~rows & ~rollout.powered[step]
        for group in range(2):
            there = elsewhere & (paid == group)
            if bool(there.any()):
                mean = error[there].mean()
                share = USUAL_RATE if self.known[group] else 1.0
                self.usual[group] = torch.lerp(self.usual[group], mean, share)
                self.known[group] = True
        excess = error - self.usual[paid]
        self.total = torch.where(rows, torch.maximum(self.total, excess), self.total)


USUAL_RATE = 0.05
"""Of the running mean of the usual errors, a step of all worlds."""


class AtUse(Signal):
    """Base: of each trial the number of its first step alone, for what the use of the power changed at once.

    It needs no touch and is known at once, whether what came is then visited or not.
    """

    def start(self, count: int, parts: Mapping[str, spaces.Box], device: torch.device) -> None:
        """Beside the base's: what the rollout before ended with, and whether the use was seen."""
        super().start(count, parts, device)
        self.last = torch.zeros(count, *self.watched(parts), device=device)
        self.seen = torch.zeros(count, dtype=torch.bool, device=device)

    def watched(self, parts: Mapping[str, spaces.Box]) -> tuple[int, ...]:
        """Shape, a world, of what `before` is given."""
        return ()

    def before(self, now: Tensor) -> Tensor:
        """What `now`, (steps, count, ...), was a step earlier, over the border between rollouts too."""
        earlier = torch.cat([self.last.unsqueeze(0), now[:-1]])
        self.last = now[-1].clone()
        return earlier

    def open(self, rows: Tensor) -> None:
        """Nothing was seen yet."""
        super().open(rows)
        self.seen &= ~rows

    def fresh(self, rows: Tensor) -> Tensor:
        """Those of the trials in these worlds whose first step this is."""
        now = rows & ~self.seen
        self.seen |= now
        return now

    def step(self, step: int, rows: Tensor, rollout: Rollout) -> None:
        """The first step after the use tells."""
        self.total = torch.where(self.fresh(rows), self.steps[step], self.total)


class PossibleSurprise(RewardSurprise, AtUse):
    """The reward surprise, or the possible one: the square of the reward that the use of the power added.

    What it added is told by the policy's own network, summed over the map: a thing that looks rewarding and
    was never tried is worth trying, whether it was reached this time or not. A thing merely moved adds
    nothing, and what proved to be nothing promises nothing any more.
    """

    needs_reward_map = True
    derived = ("steps", "added")

    def prepare(self, rollout: Rollout) -> None:
        """What every step added."""
        super().prepare(rollout)
        assert rollout.reward_map is not None
        now = rollout.reward_map.sum(-1)
        self.added = (now - self.before(now)).clamp_min(0.0).square()

    def step(self, step: int, rows: Tensor, rollout: Rollout) -> None:
        """The first step after the use tells what was added."""
        RewardSurprise.step(self, step, rows, rollout)
        larger = torch.maximum(self.total, self.added[step])
        self.total = torch.where(self.fresh(rows), larger, self.total)


class ValueChange(AtUse):
    """How much the use of the power changed what the policy expects, in size: a promise or a threat to test.

    It fades where what was promised proves to be nothing.
    """

    def per_step(self, rollout: Rollout) -> Tensor:
        """The size of the value's change."""
        value = rollout.values["task"]
        return (value - self.before(value)).abs()


class Promise(AtUse):
    """The largest reward that the use of the power put somewhere, as the policy's own network expects it.

    What was visited and proved to be nothing promises nothing any more.
    """

    needs_reward_map = True

    def watched(self, parts: Mapping[str, spaces.Box]) -> tuple[int, ...]:
        """The cells of the map."""
        rows, columns = next(box.shape[:2] for box in parts.values() if is_grid(box))
        return (rows * columns,)

    def per_step(self, rollout: Rollout) -> Tensor:
        """The rise of the best-rising place."""
        assert rollout.reward_map is not None
        return (rollout.reward_map - self.before(rollout.reward_map)).amax(-1).clamp_min(0.0)


class Novelty(Signal):
    """Random network distillation (Burda et al. 2019): the error in predicting a fixed random network.

    Args:
        gamma: of the sum.
        network: of both networks' bodies.
        learning_rate: of the predictor.

    """

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
        flat = {name: part.flatten(0, 1) for name, part in rollout.observation.items()}
        error = self._error(flat)
        self.mean_error.lerp_(error.mean(), 0.05)
        return (error / (self.mean_error + 1.0e-8)).view(rollout.steps, rollout.count)

    def learn(self, rollout: Rollout) -> dict[str, float]:
        """One pass of the predictor over a quarter of the rollout, as the paper thins its batches."""
        order = torch.randperm(rollout.size, generator=self.generator, device=rollout.device)
        rows = order[: max(1, rollout.size // 4)]
        loss = self._error(
            {name: part.flatten(0, 1)[rows] for name, part in rollout.observation.items()}
        ).mean()
        _descend(self.optimiser, loss)
        return {"novelty_loss": float(loss.detach())}


class Disagreement(Signal):
    """Spread of an ensemble that predicts the reward, or the return, from an observation and the next step.

    `of` "reward": what the step is rewarded with; "return": what the task's critic is taught. Members differ
    by their first weights and by which transitions they learn from (each with probability one half).
    """

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
        flat = {name: part.flatten(0, 1) for name, part in rollout.observation.items()}
        return self._predict(flat).std(0).view(rollout.steps, rollout.count)

    def learn(self, rollout: Rollout) -> dict[str, float]:
        """One pass over half of the rollout's transitions for each member."""
        flat = {name: part.flatten(0, 1) for name, part in rollout.observation.items()}
        wanted = (rollout.rewards if self.of == "reward" else rollout.returns)["task"].flatten()
        error = (self._predict(flat) - wanted).square()
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


SIGNALS: dict[str, Callable[[], Signal]] = {
    "td-surprise": TDSurprise,
    "signed-surprise": SignedSurprise,
    "first-touch": FirstTouch,
    "reward-surprise": RewardSurprise,
    "possible-surprise": PossibleSurprise,
    "value-change": ValueChange,
    "promise": Promise,
    "positive-value-loss": PositiveValueLoss,
    "value-disagreement": lambda: Disagreement("return"),
    "reward-disagreement": Disagreement,
    "novelty": Novelty,
    "task-return": TaskReturn,
    "nothing": Nothing,
}
"""Every signal by its name."""


def load_signal(name: str) -> Signal:
    """A signal by its name. Raises `InvalidCommand` for an unknown one."""
    if name not in SIGNALS:
        raise InvalidCommand(f"signal: unknown {name!r} (known: {', '.join(SIGNALS)})")
    return SIGNALS[name]()
