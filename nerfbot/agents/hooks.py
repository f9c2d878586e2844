"""Hooks: what takes part in the learner's loop beside the policy and its critics.

An explorer acts while a power is open, a bonus adds a reward of its own. Curricula, which decide about
levels, are hooks too and live in `curricula`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from nerfbot.agents.encoders import Planning
from nerfbot.agents.explorers.base import Explorer
from nerfbot.agents.explorers.signals import Signal, load_signal
from nerfbot.agents.explorers.trials import TrialBook
from nerfbot.agents.networks import ActorCritic
from nerfbot.agents.rollout import Rollout
from nerfbot.agents.tensor_env import TensorVectorEnv
from nerfbot.errors import InvalidCommand


class Hook:
    """Base: does nothing. The learner calls these methods in the order in which they stand here."""

    state_keys: ClassVar[tuple[str, ...]] = ()
    """Names in a checkpoint of the parts that `parts` returns."""

    def parts(self) -> tuple[Any, ...]:
        """The objects with a state of their own, each with `state_dict` and `load_state_dict`."""
        return ()

    def start(self, env: TensorVectorEnv, steps: int, seed: int) -> None:
        """Make ready for rollouts of `steps` steps in this environment, if that was not done before."""

    def settings(self) -> dict[str, str]:
        """What a run must have in common with the one whose checkpoint it continues."""
        return {}

    def act(self, rollout: Rollout, step: int, action: Tensor) -> Tensor:
        """The actions to execute, (count,), given the policy's."""
        return action

    def after_step(self, rollout: Rollout, step: int, action: Tensor, taken: int) -> None:
        """The worlds executed `action`; `taken` steps in all so far."""

    def add_reward(self, rollout: Rollout, remaining: float) -> None:
        """Add a reward to a complete rollout with the task's returns. `remaining`: of the run, 1 to 0."""

    def learn(self, rollout: Rollout, taken: int) -> dict[str, float]:
        """Learn from a rollout after the policy's update; metrics."""
        return {}

    def begin_episodes(self) -> None:
        """New episodes have begun everywhere: forget those that were interrupted."""


class Exploration(Hook):
    """An explorer that acts while a power is open, with the signal that scores its trials.

    Raises `InvalidCommand` in an environment without powers, and for a signal that the network cannot serve.
    """

    state_keys = ("explorer", "book")

    def __init__(
        self,
        env: TensorVectorEnv,
        network: ActorCritic,
        explorer: Explorer,
        signal: str | Signal | None,
        generator: torch.Generator,
    ) -> None:
        if env.mask is None or env.moves is None:
            raise InvalidCommand("explorer: the environment has no powers that it could use")
        self.env, self.network, self.explorer = env, network, explorer
        explorer.start(env.parts, env.action_names, env.moves, generator, env.device)
        self.trials = TrialBook(env, served(signal or explorer.signal, network))

    @property
    def signal(self) -> Signal:
        """What scores the trials."""
        return self.trials.signal

    def parts(self) -> tuple[Any, ...]:
        """Explorer and trials."""
        return self.explorer, self.trials

    def settings(self) -> dict[str, str]:
        """The kinds of explorer and signal."""
        return {"explorer": self.explorer.name, "signal": type(self.signal).__name__}

    def act(self, rollout: Rollout, step: int, action: Tensor) -> Tensor:
        """The explorer's action where a power is open, the policy's elsewhere."""
        mask, powered = self.env.mask, self.env.powered
        assert mask is not None
        assert powered is not None
        rollout.powered[step].copy_(powered)
        rows = powered.nonzero().squeeze(1)
        if len(rows):
            observation = {name: part[step, rows] for name, part in rollout.observation.items()}
            explored, log_prob = self.explorer.act(observation, mask[rows])
            action = action.index_copy(0, rows, explored)
            rollout.explorer_mask[step, rows] = mask[rows]
            rollout.explorer_log_prob[step, rows] = log_prob
        rollout.executed[step] = action
        return action

    def after_step(self, rollout: Rollout, step: int, action: Tensor, taken: int) -> None:
        """Record what was touched. Raises `InvalidCommand` where a signal needs it and nobody tells."""
        contact = self.env.contact
        if contact is not None:
            rollout.contact[step].copy_(contact)
        elif self.signal.needs_contact:
            raise InvalidCommand(
                f"signal {type(self.signal).__name__}: the environment tells no contacts"
                " (info['nerf']['contact']); td-surprise needs none"
            )

    def learn(self, rollout: Rollout, taken: int) -> dict[str, float]:
        """Score the trials that are over, and learn from them."""
        with torch.no_grad():
            add_predictions(rollout, self.network, self.signal)
            trials = self.trials.read(rollout)
        metrics = self.signal.learn(rollout)
        return metrics if trials is None else metrics | self.explorer.learn(trials)

    def begin_episodes(self) -> None:
        """Forget the trials that are open."""
        self.trials.forget()


@dataclass(frozen=True)
class Bonus:
    """An exploration bonus for the policy itself: a signal's number of every step, with a critic of its own.

    `weight` falls to 0 on a straight line over the share `until` of the run.
    """

    signal: str = "novelty"
    weight: float = 0.1
    until: float = 0.8

    def __post_init__(self) -> None:
        """Raises `InvalidCommand` for numbers that mean nothing."""
        if not (math.isfinite(self.weight) and self.weight >= 0.0):
            raise InvalidCommand(f"bonus.weight = {self.weight}: must be 0 or more")
        if not 0.0 < self.until <= 1.0:
            raise InvalidCommand(f"bonus.until = {self.until}: must be above 0, at most 1")


class ExplorationBonus(Hook):
    """Gives the policy a `Bonus`. Raises `InvalidCommand` for a signal that the network cannot serve."""

    state_keys = ("bonus",)

    def __init__(self, env: TensorVectorEnv, network: ActorCritic, bonus: Bonus) -> None:
        self.network, self.bonus = network, bonus
        self.signal = served(bonus.signal, network)
        self.signal.start(env.count, env.parts, env.device)

    def parts(self) -> tuple[Any, ...]:
        """The signal."""
        return (self.signal,)

    def settings(self) -> dict[str, str]:
        """The kind of signal."""
        return {"bonus": type(self.signal).__name__}

    def add_reward(self, rollout: Rollout, remaining: float) -> None:
        """The signal's number of every step, and its weight at this time."""
        add_predictions(rollout, self.network, self.signal)
        rollout.rewards["bonus"].copy_(self.signal.per_step(rollout))
        run = 1.0 - remaining
        rollout.weights["bonus"] = self.bonus.weight * max(0.0, 1.0 - run / self.bonus.until)

    def learn(self, rollout: Rollout, taken: int) -> dict[str, float]:
        """Train what the signal itself learns."""
        return self.signal.learn(rollout)


def served(signal: str | Signal, network: ActorCritic) -> Signal:
    """A signal, by its name too. Raises `InvalidCommand` if it needs predictions that the network lacks."""
    name = signal if isinstance(signal, str) else type(signal).__name__
    loaded = load_signal(signal) if isinstance(signal, str) else signal
    if loaded.needs_rewards and not network.config.predicts_reward:
        raise InvalidCommand(f"signal {name}: the network predicts no rewards (network.predicts_reward)")
    if loaded.needs_reward_map and not isinstance(network.encoder.map, Planning):
        raise InvalidCommand(f"signal {name}: needs a planning network (network.kind)")
    return loaded


def add_predictions(rollout: Rollout, network: ActorCritic, signal: Signal) -> None:
    """Put the network's predictions that a signal reads into the rollout."""
    if not (signal.needs_rewards or signal.needs_reward_map):
        return
    observation = rollout.flat_observation()
    if signal.needs_rewards:
        predicted = network.predicted_reward(observation, rollout.action.flatten()).mean(1)
        rollout.predicted_reward = predicted.view(rollout.steps, rollout.count)
    if signal.needs_reward_map:
        rollout.reward_map = network.reward_map(observation).view(rollout.steps, rollout.count, -1)
