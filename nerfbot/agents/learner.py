"""The learner: collect a rollout, process its rewards, compute returns, update, again; with exact resume.

It knows environments as `TensorVectorEnv` shows them, a network, PPO, and hooks: an explorer, a bonus, a
curriculum. When to log, evaluate or save is the caller's business.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces

from nerfbot.agents import checkpoint
from nerfbot.agents.explorers.base import Explorer
from nerfbot.agents.explorers.signals import Signal
from nerfbot.agents.heads import head_for
from nerfbot.agents.hooks import Bonus, Exploration, ExplorationBonus, Hook
from nerfbot.agents.malloc import keep_freed
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.networks import ActorCritic
from nerfbot.agents.normalization import ReturnScale, normalize, observation_norms, update_norms
from nerfbot.agents.policy import Policy, describe
from nerfbot.agents.ppo import PPO, PPOConfig
from nerfbot.agents.rollout import Rollout
from nerfbot.agents.state_dict import check_same
from nerfbot.agents.tensor_env import TensorVectorEnv
from nerfbot.errors import InvalidCommand, one_line


@dataclass
class Seconds:
    """Where the time went, s; `total` includes what belongs to no part."""

    environment: float = 0.0
    acting: float = 0.0
    updating: float = 0.0
    exploring: float = 0.0
    total: float = 0.0
    _last: float = field(default=0.0, init=False, repr=False)

    def start(self) -> None:
        """Begin to count here."""
        self._last = time.perf_counter()

    def lap(self, part: str | None = None) -> None:
        """Count the time since the last lap, for a part of the loop or for none."""
        now = time.perf_counter()
        spent, self._last = now - self._last, now
        self.total += spent
        if part is not None:
            setattr(self, part, getattr(self, part) + spent)


class Learner:
    """Trains a policy.

    Args:
        env: the worlds.
        network: of policy and critics.
        ppo: the algorithm's numbers.
        total_steps: environment steps of the whole run, power steps included.
        explorer: who acts while a power is open; None: the policy itself, for its reward.
        signal: what the explorer's trials are scored by; None: the explorer's own.
        bonus: an exploration bonus for the policy.
        curriculum: a hook that decides which levels episodes begin on; for the grid's worlds alone.
        seed: of everything random here and of the worlds.
        on_episodes: called with the environment's `info` after each step in which an episode ended.

    Raises `InvalidCommand` for an explorer in an environment without powers.

    """

    def __init__(
        self,
        env: TensorVectorEnv,
        network: NetworkConfig,
        ppo: PPOConfig,
        total_steps: int,
        explorer: Explorer | None = None,
        signal: str | Signal | None = None,
        bonus: Bonus | None = None,
        curriculum: Hook | None = None,
        seed: int = 0,
        on_episodes: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        keep_freed()
        self.env, self.config, self.total_steps, self.seed = env, ppo, total_steps, seed
        self.on_episodes, self.explored, self.curriculum = on_episodes, explorer is not None, curriculum
        device = env.device
        self.generator = torch.Generator(device).manual_seed(seed)
        env.reset(seed)
        self.action_space: spaces.Space[Any] = env.action_space
        if self.explored and env.moves:
            # Powers are the explorer's alone: the policy has no outputs for them.
            self.action_space = spaces.Discrete(env.moves, start=int(getattr(env.action_space, "start", 0)))
        head = head_for(self.action_space, ppo.squash)
        critics = ("task",) if bonus is None else ("task", "bonus")
        self.hooks: list[Hook] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # weights are drawn from torch's global generator
            self.network = ActorCritic(env.parts, head, network, critics).to(device)
            self.norms = observation_norms(env.parts if ppo.normalise_observations else {}).to(device)
            self.ppo = PPO(self.network, ppo, self.generator)
            if explorer is not None:
                self.hooks.append(Exploration(env, self.network, explorer, signal, self.generator))
            if bonus is not None:
                self.hooks.append(ExplorationBonus(env, self.network, bonus))
        if curriculum is not None:
            curriculum.start(env, ppo.rollout_steps, seed)
            self.hooks.append(curriculum)
        self.return_scale = ReturnScale(env.count, ppo.gamma, device) if ppo.normalise_rewards else None
        self.rollout = Rollout(ppo.rollout_steps, env, head, critics, self.explored)
        self.hidden_state = self.network.initial_state(env.count, device)
        self.is_first = torch.ones(env.count, dtype=torch.bool, device=device)
        self.steps = 0
        self.seconds = Seconds()

    @property
    def remaining(self) -> float:
        """The share of the run that remains, 1 to 0."""
        return max(0.0, 1.0 - self.steps / self.total_steps)

    @property
    def done(self) -> bool:
        """Whether the run is complete."""
        return self.steps >= self.total_steps

    def iterate(self) -> dict[str, float]:
        """One rollout and one update; their metrics."""
        self.seconds.start()
        # Does nothing by itself, but weights that a pass cast are kept until it ends, rather than for a step.
        with torch.autocast(self.env.device.type, enabled=False):
            self.collect()
        self.process_rewards()
        self.seconds.lap()
        metrics = self.ppo.update(self.rollout, self.remaining)
        self.seconds.lap("updating")
        self.steps += self.rollout.size
        for hook in self.hooks:
            metrics |= hook.learn(self.rollout, self.steps)
        self.seconds.lap("exploring")
        return {"steps": float(self.steps), **metrics}

    @torch.inference_mode()
    def collect(self) -> None:
        """Fill the rollout: the policy and the hooks act, the critics say what to expect."""
        env, rollout, head = self.env, self.rollout, self.network.head
        rollout.hidden_state = None if self.hidden_state is None else self.hidden_state.clone()
        self.network.eval()
        for step in range(rollout.steps):
            update_norms(self.norms, env.observation)
            for name, part in normalize(self.norms, env.observation).items():
                rollout.observation[name][step].copy_(part)
            rollout.is_first[step].copy_(self.is_first)
            if self.hidden_state is not None:
                self.hidden_state = self.hidden_state * ~self.is_first.unsqueeze(1)
            self.seconds.lap()

            observation = {name: part[step] for name, part in rollout.observation.items()}
            with self.ppo.autocast(env.device):
                output = self.network(observation, self.hidden_state, with_values=False)
            self.hidden_state, mask = output.hidden_state, None
            if rollout.mask is not None:
                mask = rollout.mask[step].copy_(env.mask)  # type: ignore[arg-type]
            action = head.sample(output.policy, mask, self.generator)
            rollout.action[step] = action
            rollout.log_prob[step] = head.evaluate(output.policy, action, mask)[0]
            for name, value in output.values.items():
                rollout.values[name][step] = value
            for hook in self.hooks:
                action = hook.act(rollout, step, action)
            self.seconds.lap("acting")

            env.step(head.to_environment(action))
            self.seconds.lap("environment")
            self._record(step)
            for hook in self.hooks:
                hook.after_step(rollout, step, action, self.steps + (step + 1) * env.count)
        self._add_values()
        rollout.check_finite()

    def _record(self, step: int) -> None:
        """What the environment's step brought, with the values of what truncated episodes ended on."""
        env, rollout = self.env, self.rollout
        rollout.rewards["task"][step].copy_(env.reward)
        self.is_first = done = env.terminated | env.truncated
        rollout.terminated[step].copy_(env.terminated)
        rollout.done[step].copy_(done)
        rows = (env.truncated & ~env.terminated).nonzero().squeeze(1)
        if len(rows):
            final = normalize(self.norms, env.final_observation(rows.cpu().numpy()))
            hidden_state = None if self.hidden_state is None else self.hidden_state[rows]
            with self.ppo.autocast(env.device):
                output = self.network(final, hidden_state)
            for name, value in output.values.items():
                rollout.next_values[name][step, rows] = value
        if self.on_episodes is not None and bool(done.any()):
            self.on_episodes(env.info)

    def _add_values(self) -> None:
        """The values that are still missing: of critics with their own encoder, and after the last step."""
        rollout, autocast = self.rollout, self.ppo.autocast(self.env.device)
        if self.network.critic is not None:
            self.seconds.lap()
            # Many steps at once take less time than each by itself.
            length = -(-rollout.steps // self.config.minibatches)
            for start in range(0, rollout.steps, length):
                steps = slice(start, start + length)
                with autocast:
                    values = self.network.values(rollout.flat_observation(steps))
                for name, value in values.items():
                    rollout.values[name][steps] = value.view(-1, rollout.count)
            self.seconds.lap("acting")
        with autocast:
            output = self.network(normalize(self.norms, self.env.observation), self.hidden_state)
        for name, value in output.values.items():
            last = rollout.next_values[name][-1]
            last.copy_(torch.where(rollout.done[-1], last, value))

    @torch.no_grad()
    def process_rewards(self) -> None:
        """Scale the rewards, let hooks add theirs, and compute each critic's returns."""
        rollout, config = self.rollout, self.config
        if self.return_scale is not None:
            # Rewards of steps that teach the policy nothing do not set its scale either.
            earned = rollout.rewards["task"].masked_fill(rollout.powered, 0.0)
            rollout.rewards["task"] *= self.return_scale.update(earned, rollout.done)
        powered_after = self.env.powered if self.explored else None
        rollout.compute_returns("task", powered_after, config.gamma, config.lam)
        for hook in self.hooks:
            hook.add_reward(rollout, self.remaining)
        for critic in self.network.critics[1:]:
            rollout.compute_returns(critic, powered_after, config.gamma, config.lam)

    def policy(self, about: dict[str, Any] | None = None, seed: int = 0) -> Policy:
        """The policy as it stands, sharing its weights with the learner's."""
        returns = None if self.return_scale is None else self.return_scale.norm
        return Policy(self.network, self.env.parts, self.norms, self.action_space, about, seed, returns)

    def load_weights(self, policy: Policy) -> None:
        """Start from a policy's weights, norms and scale of returns.

        Raises `InvalidCommand` with the first field in which the policy differs, before anything changes.
        """
        mine = self.policy()
        check_same(_interface(policy), _interface(mine))
        self.network.load_state_dict(policy.network.state_dict())
        self.norms.load_state_dict(policy.norms.state_dict())
        if mine.returns is not None and policy.returns is not None:
            mine.returns.load_state_dict(policy.returns.state_dict())

    def settings(self) -> dict[str, Any]:
        """What a run must have in common with the one whose checkpoint it continues."""
        hooks: dict[str, str | None] = dict.fromkeys(("explorer", "signal", "bonus", "curriculum"))
        for hook in self.hooks:
            hooks |= hook.settings()
        return {
            "seed": self.seed,
            "worlds": self.env.count,
            "observation": {name: [str(box.dtype), *box.shape] for name, box in self.env.parts.items()},
            "action outputs": self.network.head.outputs,
            "critics": list(self.network.critics),
            "network": self.network.config.model_dump(mode="json"),
            "normalised": sorted(self.norms),
            "reward scale": self.return_scale is not None,
            **hooks,
        }

    def state_dict(self) -> dict[str, Any]:
        """All that continuing needs, the worlds included where the environment can save them.

        Its keys are those of checkpoint files.
        """
        env_state = getattr(self.env.env, "state", None)
        state: dict[str, Any] = {
            "made": self.settings(),
            "steps": self.steps,
            "network": copy.deepcopy(self.network.state_dict()),
            "norms": copy.deepcopy(self.norms.state_dict()),
            "optimiser": copy.deepcopy(self.ppo.optimiser.state_dict()),
            "generator": self.generator.get_state(),
            "memory": None if self.hidden_state is None else self.hidden_state.clone(),
            "first": self.is_first.clone(),
            "return_scale": None if self.return_scale is None else self.return_scale.state_dict(),
            "worlds": env_state() if callable(env_state) else None,
            **dict.fromkeys(("explorer", "book", "bonus", "curriculum")),
        }
        for hook in self.hooks:
            for name, part in zip(hook.state_keys, hook.parts(), strict=True):
                state[name] = part.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`: bit for bit where the worlds can be restored, else in new episodes.

        Raises `InvalidCommand` for the state of a run with other settings, before anything changes.
        """
        check_same(state["made"], self.settings())
        device = self.env.device
        self.steps = state["steps"]
        self.network.load_state_dict(state["network"])
        self.norms.load_state_dict(state["norms"])
        self.ppo.optimiser.load_state_dict(copy.deepcopy(state["optimiser"]))
        self.hidden_state = None if state["memory"] is None else state["memory"].to(device, copy=True)
        self.is_first = state["first"].to(device, copy=True)
        if self.return_scale is not None:
            self.return_scale.load_state_dict(state["return_scale"])
        for hook in self.hooks:
            for name, part in zip(hook.state_keys, hook.parts(), strict=True):
                part.load_state_dict(state[name])
        if state["worlds"] is not None:
            self.env.restore(state["worlds"])
        else:
            self.env.reset(self.seed + self.steps)
            self.is_first = torch.ones_like(self.is_first)
            if self.return_scale is not None:
                self.return_scale.running.zero_()
            for hook in self.hooks:
                hook.begin_episodes()
        self.generator.set_state(state["generator"].cpu())

    def save(self, path: Path, extra: dict[str, Any] | None = None) -> None:
        """Write a checkpoint, whole or not at all; `extra` is what the caller wants back from `load`.

        Raises `InvalidCommand` where it cannot be written, and for an `extra` of other than plain values.
        """
        checkpoint.write(path, {**self.state_dict(), "extra": extra or {}})

    def load(self, path: Path) -> dict[str, Any]:
        """Continue from a checkpoint; the `extra` of its `save`. Raises `InvalidCommand` for other files."""
        state = checkpoint.read(path)
        try:
            self.load_state_dict(state)
            extra: dict[str, Any] = state["extra"]
        except Exception as problem:  # a state of the right format may still hold anything
            raise InvalidCommand(f"checkpoint: {path} cannot be used: {one_line(problem)}") from None
        return extra


def _interface(policy: Policy) -> dict[str, Any]:
    """What two policies must have in common for one to take the other's weights."""
    return {
        "observation": {name: [str(box.dtype), *box.shape] for name, box in policy.parts.items()},
        "action": describe(policy.action_space),
        "critics": list(policy.network.critics),
        "network": policy.network.config.model_dump(mode="json"),
        "normalised": sorted(policy.norms),
        "reward scale": policy.returns is not None,
    }
