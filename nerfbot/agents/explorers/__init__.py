"""Explorers, who act while a power is granted, their trials, and the signals that score them.

`EXPLORERS` has every explorer by its name. The policy and its update live one folder up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from nerfbot.agents.explorers.bandit import Bandit
from nerfbot.agents.explorers.base import Explorer
from nerfbot.agents.explorers.linear import Linear
from nerfbot.agents.explorers.neural import PolicyExplorer, Regressor
from nerfbot.agents.explorers.shuffled import Shuffled
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.declared import find_mistake, suggestion
from nerfbot.errors import InvalidCommand

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
