"""nerfbot: deliberately impaired robots, simulated and real, whose limits are lifted only under a lease.

Importing it registers the environments with Gymnasium, where that is installed, and loads nothing heavy:
what is named here is imported when it is first used.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nerfbot.agents.policy import load_policy
    from nerfbot.wrappers import wrap

__all__ = ["__version__", "load_policy", "wrap"]

__version__ = "0.3.0"

_LAZY = {"load_policy": "nerfbot.agents.policy", "wrap": "nerfbot.wrappers"}

if find_spec("gymnasium") is not None:  # the limits alone run on a robot without it
    from nerfbot.registration import register

    register()
    del register


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
