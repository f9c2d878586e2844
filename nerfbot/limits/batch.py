"""Arguments that concern some robots of a batch: masks, and the seeds of their next episodes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nerfbot.errors import InvalidCommand


def as_mask(mask: ArrayLike, count: int) -> NDArray[np.bool_]:
    """A mask as an array (count,); raises `InvalidCommand` for another shape or type."""
    array = np.asarray(mask)
    if array.shape != (count,) or array.dtype != bool:
        raise InvalidCommand(f"mask must be bool of shape ({count},), got {array.dtype} {array.shape}")
    return array


def as_seeds(seeds: ArrayLike, robots: NDArray[np.intp]) -> NDArray[np.uint64]:
    """One seed for each of ``robots``; raises `InvalidCommand` for another number, type or sign."""
    array = np.atleast_1d(np.asarray(seeds))
    if array.size and array.dtype.kind not in "iu":
        raise InvalidCommand(f"seeds must be integers, got {array.dtype}")
    if array.shape != robots.shape:
        raise InvalidCommand(f"seeds must have shape {robots.shape}, got {array.shape}")
    if array.dtype.kind == "i" and (array < 0).any():
        raise InvalidCommand(f"seeds must be at least 0, got {array.min()}")
    return array.astype(np.uint64)


def first_seeds(seed: int, count: int) -> NDArray[np.uint64]:
    """Seeds of ``count`` robots, counted up from ``seed``; raises `InvalidCommand` for a number or a seed
    that cannot be.
    """
    if count < 1:
        raise InvalidCommand(f"count must be at least 1, got {count}")
    if not 0 <= seed < 2**64:
        raise InvalidCommand(f"seed must be at least 0 and below 2**64, got {seed!r}")
    return np.uint64(seed) + np.arange(count, dtype=np.uint64)
