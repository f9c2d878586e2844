"""One condition of an experiment: how it differs from plain PPO on training levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nerfbot.agents.hooks import Bonus

Actor = Literal["policy", "explorer", "random", "shuffled"]


@dataclass(frozen=True)
class Arm:
    """One condition.

    Args:
        why: what it is there for.
        alpha: share of distinguishing levels in training.
        menu: "none", "all", a name in the experiment's `menus`, or a single power.
        actor: who acts while a power is open.
        explorer: changes of the explorer's configuration.
        schedule: changes of the menu's schedule.
        destinations: in place of the menu's.
        bonus: an exploration bonus for the policy.
        curriculum: who picks the levels that are played ("record": nobody, but states that edits reach are
            saved for the arm that is yoked to it).
        times: multiple of the experiment's steps that it trains for; 0 for an untrained arm.
        matches: the arm whose alpha_eff its schedule has to match.
        yoked: the arm whose states its episodes start from.

    """

    why: str
    alpha: float = 0.0
    menu: str = "none"
    actor: Actor = "policy"
    explorer: Mapping[str, Any] = field(default_factory=dict)
    schedule: Mapping[str, Any] = field(default_factory=dict)
    destinations: str | None = None
    bonus: Bonus | None = None
    curriculum: Literal["plr", "accel", "record"] | None = None
    times: int = 1
    matches: str | None = None
    yoked: str | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Arms that must be finished before this one can run."""
        return tuple(arm for arm in (self.yoked, self.matches, self.matches and "random-powers") if arm)
