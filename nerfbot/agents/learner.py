"""The loop of learning: collect a rollout, update, again; with exact resume.

The learner knows environments as `TensorVectorEnv` shows them, a network, PPO, and, where powers are
somebody else's to use, an explorer with its signal. What is logged, evaluated or saved when is the caller's
business.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from nerfbot.agents import checkpoint
from nerfbot.agents.encoders import Planning
from nerfbot.agents.explorers.explorers import Explorer
from nerfbot.agents.explorers.signals import Signal, load_signal
from nerfbot.agents.explorers.trials import TrialBook
from nerfbot.agents.heads import head_for
from nerfbot.agents.malloc import keep_freed
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.networks import ActorCritic
from nerfbot.agents.normalization import ReturnScale, RunningNorm
from nerfbot.agents.policy import Policy, norm_key
from nerfbot.agents.ppo import PPO, PPOConfig
from nerfbot.agents.rollout import Rollout
from nerfbot.agents.tensor_env import Observation, TensorVectorEnv
from nerfbot.errors import InvalidCommand

if TYPE_CHECKING:
    from nerfbot.agents.curricula import Curriculum  # needs the grid, and the grid needs Warp

Episodes = Callable[[dict[str, Any]], None]


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


@dataclass
class Seconds:
    """Where the time went, s."""

    environment: float = 0.0
    acting: float = 0.0
    updating: float = 0.0
    exploring: float = 0.0
    total: float = field(default=0.0)


class Learner:
    """Trains a policy.

    Args:
        batch: the worlds.
        network: of policy and critics.
        ppo: the algorithm's numbers.
        total_steps: environment steps of the whole run, power steps included.
        explorer: who acts while a power is open; None: the policy itself, for its reward.
        signal: what the explorer's trials are scored by; None: the explorer's own.
        bonus: an exploration bonus for the policy.
        curriculum: who decides which levels episodes begin on; for the grid's worlds alone.
        seed: of everything random here and of the worlds.
        on_episodes: called with the environment's `info` after each step in which an episode ended.

    Raises `InvalidCommand` for an explorer in an environment without powers.

    """

    def __init__(
        self,
        batch: TensorVectorEnv,
        network: NetworkConfig,
        ppo: PPOConfig,
        total_steps: int,
        explorer: Explorer | None = None,
        signal: str | Signal | None = None,
        bonus: Bonus | None = None,
        curriculum: Curriculum | None = None,
        seed: int = 0,
        on_episodes: Episodes | None = None,
    ) -> None:
        self.env, self.config, self.total_steps, self.seed = batch, ppo, total_steps, seed
        self.on_episodes = on_episodes
        device = batch.device
        self.generator = torch.Generator(device).manual_seed(seed)
        batch.reset(seed)
        self.explorer = explorer
        keep_freed()
        if explorer is not None and (batch.mask is None or batch.moves is None):
            raise InvalidCommand("explorer: the environment has no powers that it could use")
        self.action_space: spaces.Space[Any] = batch.action_space
        if explorer is not None and batch.moves:
            # Powers are the explorer's alone: the policy has no outputs for them.
            start = int(getattr(batch.action_space, "start", 0))
            self.action_space = spaces.Discrete(batch.moves, start=start)
        head = head_for(self.action_space, ppo.squash)
        names = ("task",) if bonus is None else ("task", "bonus")
        with torch.random.fork_rng(devices=[]):
            # Weights are drawn from torch's global generator.
            torch.manual_seed(seed)
            self.network = ActorCritic(batch.parts, head, network, names).to(device)
            self.norms = torch.nn.ModuleDict(
                {
                    norm_key(name): RunningNorm(box.shape)
                    for name, box in batch.parts.items()
                    if ppo.normalise_observations and box.dtype != np.uint8
                }
            ).to(device)
            self.ppo = PPO(self.network, ppo, self.generator)
            self.book: TrialBook | None = None
            if explorer is not None and batch.mask is not None and batch.moves is not None:
                explorer.start(batch.parts, batch.action_names, batch.moves, self.generator, device)
                chosen = explorer.signal if signal is None else signal
                self.book = TrialBook(batch, self._served(chosen))
            self.bonus, self.bonus_signal = bonus, None if bonus is None else self._served(bonus.signal)
            if self.bonus_signal is not None:
                self.bonus_signal.start(batch.count, batch.parts, device)
        self.return_scale = ReturnScale(batch.count, ppo.gamma, device) if ppo.normalise_rewards else None
        self.scale = 1.0
        self.rollout = Rollout(ppo.rollout_steps, batch, head, names, explorer is not None)
        self.curriculum = curriculum
        if curriculum is not None:
            worlds = getattr(batch.env, "worlds", None)
            if worlds is None:
                raise InvalidCommand("curriculum: only the grid's worlds can be told which levels to draw")
            curriculum.start(worlds, ppo.rollout_steps, seed)
        self.memory = self.network.start(batch.count, device)
        self.first = torch.ones(batch.count, dtype=torch.bool, device=device)
        self.steps = 0
        self.seconds = Seconds()

    def _served(self, chosen: str | Signal) -> Signal:
        """A signal, by its name too. Raises `InvalidCommand` where it reads what this network never says."""
        signal = load_signal(chosen) if isinstance(chosen, str) else chosen
        name = chosen if isinstance(chosen, str) else type(chosen).__name__
        if signal.needs_rewards and not self.network.config.predicts_reward:
            raise InvalidCommand(f"signal {name}: the network predicts no rewards (network.predicts_reward)")
        if signal.needs_reward_map and not isinstance(self.network.body.map, Planning):
            raise InvalidCommand(f"signal {name}: needs a planning network (network.kind)")
        return signal

    @property
    def left(self) -> float:
        """The share of the run that remains, 1 to 0."""
        return max(0.0, 1.0 - self.steps / self.total_steps)

    @property
    def done(self) -> bool:
        """Whether the run is complete."""
        return self.steps >= self.total_steps

    def iterate(self) -> dict[str, float]:
        """One rollout and one update; what to tell of them."""
        began = time.perf_counter()
        # Does nothing by itself, but weights that a pass cast are kept until it ends, rather than for a step.
        with torch.autocast(self.env.device.type, enabled=False):
            self._collect()
        self._score()
        collected = time.perf_counter()
        told = self.ppo.update(self.rollout, self.left)
        updated = time.perf_counter()
        self.seconds.updating += updated - collected
        told |= self._explore()
        self.steps += self.rollout.size
        if self.curriculum is not None:
            self.curriculum.learn(self.rollout, self.steps)
        ended = time.perf_counter()
        self.seconds.exploring += ended - updated
        self.seconds.total += ended - began
        return {"steps": float(self.steps), **told}

    def seen(self, observation: Observation) -> Observation:
        """An observation as the network reads it."""
        if not self.norms:
            return observation
        return {
            name: self.norms[norm_key(name)](part) if norm_key(name) in self.norms else part
            for name, part in observation.items()
        }

    @torch.inference_mode()
    def _collect(self) -> None:
        batch, rollout, network = self.env, self.rollout, self.network
        head, explorer = network.head, self.explorer
        rollout.memory = None if self.memory is None else self.memory.clone()
        network.eval()
        for step in range(rollout.steps):
            if self.norms:
                for name, part in batch.observation.items():
                    if norm_key(name) in self.norms:
                        self.norms[norm_key(name)].update(part)  # type: ignore[operator]
            observation = self.seen(batch.observation)
            for name, part in observation.items():
                rollout.observation[name][step].copy_(part)
            rollout.first[step].copy_(self.first)
            if self.memory is not None:
                self.memory = self.memory * ~self.first.unsqueeze(1)
            began = time.perf_counter()
            now = {name: part[step] for name, part in rollout.observation.items()}
            with self.ppo.autocast(batch.device):
                output = network(now, self.memory, judged=False)
            self.memory = output.memory
            mask = None
            if rollout.mask is not None:
                rollout.mask[step].copy_(batch.mask)  # type: ignore[arg-type]
                mask = rollout.mask[step]
            action = head.sample(output.policy, mask, self.generator)
            rollout.action[step] = action
            rollout.log_prob[step] = head.evaluate(output.policy, action, mask)[0]
            for name, value in output.values.items():
                rollout.values[name][step] = value
            if explorer is not None:
                action = self._let_explore(step, action)
            acted = time.perf_counter()
            if self.curriculum is not None:
                self.curriculum.before(step)
            batch.step(head.to_environment(action))
            ended = time.perf_counter()
            self._take(step)
            if self.curriculum is not None and batch.moves is not None:
                edited = (action >= batch.moves) & ~self.first
                taken = self.steps + (step + 1) * batch.count
                self.curriculum.after(edited.nonzero().squeeze(1).cpu().numpy(), taken)
            self.seconds.acting += acted - began
            self.seconds.environment += ended - acted
        if network.critic is not None:
            self._judge()
        self._bootstrap()
        rollout.check()

    def _judge(self) -> None:
        """The values of the rollout, all but the last ones: many steps at once take less time than each by
        itself.
        """
        rollout, began = self.rollout, time.perf_counter()
        length = -(-rollout.steps // self.config.minibatches)
        for first in range(0, rollout.steps, length):
            steps = slice(first, first + length)
            seen = {name: part[steps].flatten(0, 1) for name, part in rollout.observation.items()}
            with self.ppo.autocast(self.env.device):
                values = self.network.judge(seen)
            for name, value in values.items():
                rollout.values[name][steps] = value.view(-1, rollout.count)
        self.seconds.acting += time.perf_counter() - began

    def _let_explore(self, step: int, action: Tensor) -> Tensor:
        batch, rollout = self.env, self.rollout
        assert self.explorer is not None
        assert batch.mask is not None
        assert batch.powered is not None
        rollout.powered[step].copy_(batch.powered)
        rows = batch.powered.nonzero().squeeze(1)
        if len(rows):
            seen = {name: part[step, rows] for name, part in rollout.observation.items()}
            chosen, log_prob = self.explorer.act(seen, batch.mask[rows])
            action = action.index_copy(0, rows, chosen)
            rollout.open_mask[step, rows] = batch.mask[rows]
            rollout.choice_log_prob[step, rows] = log_prob
        rollout.choice[step] = action
        return action

    def _take(self, step: int) -> None:
        batch, rollout = self.env, self.rollout
        rollout.rewards["task"][step].copy_(batch.reward)
        ended = batch.terminated | batch.truncated
        rollout.terminated[step].copy_(batch.terminated)
        rollout.ended[step].copy_(ended)
        contact = batch.contact
        if contact is not None:
            rollout.contact[step].copy_(contact)
        elif self.book is not None and self.book.signal.needs_contact:
            raise InvalidCommand(
                f"signal {type(self.book.signal).__name__}: the environment tells no contacts"
                " (info['nerf']['contact']); td-surprise needs none"
            )
        self.first = ended
        rows = (batch.truncated & ~batch.terminated).nonzero().squeeze(1)
        if len(rows):
            final = self.seen(batch.final_observation(rows.cpu().numpy()))
            memory = None if self.memory is None else self.memory[rows]
            with self.ppo.autocast(batch.device):
                output = self.network(final, memory)
            for name, value in output.values.items():
                rollout.next_values[name][step, rows] = value
        if self.on_episodes is not None and bool(ended.any()):
            self.on_episodes(batch.info)

    def _bootstrap(self) -> None:
        """Values after the last step, for the worlds whose episode goes on."""
        rollout = self.rollout
        with self.ppo.autocast(self.env.device):
            output = self.network(self.seen(self.env.observation), self.memory)
        going = ~rollout.ended[-1]
        for name, value in output.values.items():
            rollout.next_values[name][-1] = torch.where(going, value, rollout.next_values[name][-1])

    @torch.no_grad()
    def _score(self) -> None:
        rollout, config = self.rollout, self.config
        if self.return_scale is not None:
            # Rewards of steps that teach the policy nothing do not set its scale either.
            earned = rollout.rewards["task"].masked_fill(rollout.powered, 0.0)
            self.scale = self.return_scale.update(earned, rollout.ended)
            rollout.rewards["task"] *= self.scale
        powered = self.env.powered if self.explorer is not None else None
        after = torch.zeros_like(self.first) if powered is None else powered
        if self.bonus is not None and self.bonus_signal is not None:
            rollout.rewards["bonus"].zero_()
            rollout.finish(after, config.gamma, config.lam)
            self._foretell(self.bonus_signal)
            rollout.rewards["bonus"].copy_(self.bonus_signal.per_step(rollout))
            run = 1.0 - self.left
            self.ppo.weights["bonus"] = self.bonus.weight * max(0.0, 1.0 - run / self.bonus.until)
        rollout.finish(after, config.gamma, config.lam)

    def _explore(self) -> dict[str, float]:
        told: dict[str, float] = {}
        if self.book is not None and self.explorer is not None:
            with torch.no_grad():
                self._foretell(self.book.signal)
                trials = self.book.read(self.rollout)
            told |= self.book.signal.learn(self.rollout)
            if trials is not None:
                told |= self.explorer.learn(trials)
        if self.bonus_signal is not None:
            told |= self.bonus_signal.learn(self.rollout)
        return told

    def _foretell(self, signal: Signal) -> None:
        """Put what a signal reads of the network's expectations into the rollout."""
        rollout, network = self.rollout, self.network
        seen = {name: part.flatten(0, 1) for name, part in rollout.observation.items()}
        if signal.needs_rewards:
            told = network.predicted_reward(seen, rollout.action.flatten()).mean(1)
            rollout.predicted = told.view(rollout.steps, rollout.count)
        if signal.needs_reward_map:
            rollout.reward_map = network.reward_map(seen).view(rollout.steps, rollout.count, -1)

    def policy(self, about: dict[str, Any] | None = None, seed: int = 0) -> Policy:
        """The policy as it stands, sharing its weights with the learner's."""
        returns = None if self.return_scale is None else self.return_scale.norm
        return Policy(self.network, self.env.parts, self.norms, self.action_space, about, seed, returns)

    def load_weights(self, policy: Policy) -> None:
        """Learn on from what a policy knows: its weights, its norms and its scale of returns.

        Raises `InvalidCommand` for a policy that was made otherwise, with the field that differs, before
        anything changes.
        """
        checkpoint.take_up(self, policy)

    def state(self) -> dict[str, Any]:
        """All that going on needs, the worlds included where the environment can tell them."""
        return checkpoint.state_of(self)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`: bit for bit where the worlds can be put back, else in new episodes.

        Raises `InvalidCommand` for the state of a run that was made otherwise.
        """
        checkpoint.give_back(self, state)

    def begin_anew(self) -> None:
        """Forget what belongs to the present episodes: new ones have begun everywhere."""
        self.first = torch.ones_like(self.first)
        if self.return_scale is not None:
            self.return_scale.running.zero_()
        if self.book is not None:
            self.book.forget()

    def save(self, path: Path, extra: dict[str, Any] | None = None) -> None:
        """Write a checkpoint, whole or not at all; `extra` is what the caller wants back from `load`.

        Raises `InvalidCommand` where it cannot be written, and for an `extra` of other than plain values.
        """
        checkpoint.write(path, {**self.state(), "extra": extra or {}})

    def load(self, path: Path) -> dict[str, Any]:
        """Go on from a checkpoint; what `save` was given. Raises `InvalidCommand` for any other file."""
        state = checkpoint.read(path)
        try:
            self.restore(state)
            extra: dict[str, Any] = state["extra"]
        except Exception as problem:  # a state of the right format may still hold anything
            raise InvalidCommand(
                f"checkpoint: {path} cannot be used: {checkpoint.one_line(problem)}"
            ) from None
        return extra
