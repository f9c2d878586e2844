"""Trials: every use of a power by an explorer, held until its score is known.

A trial begins with the first step in which a power is open, may hold several choices in a row, and ends with
the episode or where the next power opens after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nerfbot.agents.explorers.signals import Signal
from nerfbot.agents.rollout import Rollout
from nerfbot.agents.tensor_env import Observation, TensorVectorEnv


@dataclass(frozen=True)
class Trials:
    """Choices whose trials are over: observation, open actions, action and score of each.

    Shapes: observation parts (K, ...), mask (K, actions), action (K,), log_prob (K,), score (K,).
    """

    observation: Observation
    mask: Tensor
    action: Tensor
    log_prob: Tensor
    score: Tensor

    def __len__(self) -> int:
        """How many."""
        return len(self.action)

    def select(self, rows: Tensor | slice) -> Trials:
        """Some of them."""
        parts = {name: part[rows] for name, part in self.observation.items()}
        return Trials(parts, self.mask[rows], self.action[rows], self.log_prob[rows], self.score[rows])

    @classmethod
    def joined(cls, parts: Sequence[Trials]) -> Trials:
        """All of them, one after another."""
        return cls(
            {name: torch.cat([part.observation[name] for part in parts]) for name in parts[0].observation},
            torch.cat([part.mask for part in parts]),
            torch.cat([part.action for part in parts]),
            torch.cat([part.log_prob for part in parts]),
            torch.cat([part.score for part in parts]),
        )

    def state_dict(self) -> dict[str, Any]:
        """A copy of the state, for a checkpoint."""
        return {
            "observation": {name: part.clone() for name, part in self.observation.items()},
            **{name: getattr(self, name).clone() for name in ("mask", "action", "log_prob", "score")},
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any], device: torch.device) -> Trials:
        """Go on from what `state_dict` gave."""
        parts = {name: part.to(device) for name, part in state["observation"].items()}
        rest = {name: value.to(device) for name, value in state.items() if name != "observation"}
        return cls(parts, **rest)


class TrialBook:
    """Follows the trials of all worlds through rollout after rollout."""

    def __init__(self, env: TensorVectorEnv, signal: Signal) -> None:
        self.signal, device = signal, env.device
        signal.start(env.count, env.parts, device)
        self.open = torch.zeros(env.count, dtype=torch.bool, device=device)
        self.lived = torch.zeros(env.count, dtype=torch.bool, device=device)
        self.pending: list[tuple[Tensor, Trials]] = []

    def read(self, rollout: Rollout) -> Trials | None:
        """Go through a complete rollout; the choices whose trials ended in it, or None."""
        self.signal.prepare(rollout)
        finished: list[Trials] = []
        any_powered = rollout.powered.any(1).tolist()
        any_done = rollout.done.any(1).tolist()
        for step in range(rollout.steps):
            if any_powered[step]:
                powered = rollout.powered[step]
                self._close(powered & self.open & self.lived, finished)
                fresh = powered & ~self.open
                self.signal.open(fresh)
                self.open |= powered
                self.lived &= ~fresh
                self._note(rollout, step, powered.nonzero().squeeze(1))
                living = self.open & ~powered
            else:
                living = self.open
            self.signal.step(step, living, rollout)
            self.lived |= living
            if any_done[step]:
                self._close(rollout.done[step] & self.open, finished)
        return Trials.joined(finished) if finished else None

    def _note(self, rollout: Rollout, step: int, rows: Tensor) -> None:
        parts = {name: part[step, rows] for name, part in rollout.observation.items()}
        score = torch.zeros(len(rows), device=rows.device)
        mask, action = rollout.explorer_mask[step, rows], rollout.executed[step, rows]
        choice = Trials(parts, mask, action, rollout.explorer_log_prob[step, rows], score)
        self.pending.append((rows, choice))

    def _close(self, ending: Tensor, finished: list[Trials]) -> None:
        if not self.pending or not bool(ending.any()):
            return
        scores = self.signal.close()
        remaining: list[tuple[Tensor, Trials]] = []
        for worlds, choices in self.pending:
            over = ending[worlds]
            if bool(over.any()):
                finished.append(replace(choices.select(over), score=scores[worlds[over]].clone()))
                if bool(over.all()):
                    continue
                worlds, choices = worlds[~over], choices.select(~over)
            remaining.append((worlds, choices))
        self.pending = remaining
        self.open &= ~ending

    def state_dict(self) -> dict[str, Any]:
        """A copy of the state, for a checkpoint."""
        return {
            "open": self.open.clone(),
            "lived": self.lived.clone(),
            "pending": [[worlds.clone(), choices.state_dict()] for worlds, choices in self.pending],
            "signal": self.signal.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        device = self.open.device
        self.open, self.lived = (state[name].to(device, copy=True) for name in ("open", "lived"))
        self.pending = [
            (worlds.to(device), Trials.restored(choices, device)) for worlds, choices in state["pending"]
        ]
        self.signal.load_state_dict(state["signal"])

    def forget(self) -> None:
        """Drop the trials that are open: the episodes they are part of will not go on."""
        self.open.zero_()
        self.lived.zero_()
        self.pending = []
