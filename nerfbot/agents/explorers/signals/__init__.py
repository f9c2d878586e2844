"""Exploration signals: how informative what followed the use of a power turned out to be.

A trial begins where a power is used and ends with the episode, or where the next power opens. A signal keeps
one number a world while trials run, reads each rollout once it is complete, and gives a trial's score when it
ends. Scores may be signed; an explorer decides what to make of the sign.
"""

from __future__ import annotations

from collections.abc import Callable

from nerfbot.agents.explorers.signals.base import Signal
from nerfbot.agents.explorers.signals.critic import (
    FirstTouch,
    Nothing,
    PositiveValueLoss,
    SignedSurprise,
    TaskReturn,
    TDSurprise,
)
from nerfbot.agents.explorers.signals.learned import Disagreement, Novelty
from nerfbot.agents.explorers.signals.prediction import PossibleSurprise, Promise, RewardSurprise, ValueChange
from nerfbot.errors import InvalidCommand

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
