"""Compiling the inner loops: numba where it is installed (the extra ``fast``), else the interpreter.

Both give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

try:
    from numba import njit
except ImportError:  # optional: a single robot does without
    njit = None  # type: ignore[assignment]


def compiled(function: FunctionT) -> FunctionT:
    """Compile ``function`` where numba is installed, into its callers too: a loop with a call is slow.

    Its cache does not notice a change in another file: a compiled function calls those of its own file only.
    """
    if njit is None:
        return function
    return cast(FunctionT, njit(cache=True, error_model="numpy", forceinline=True)(function))
