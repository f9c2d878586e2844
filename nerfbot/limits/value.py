"""Numbers of a specification: a limit has a nerfed and a lifted value, either fixed or drawn per episode."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from nerfbot.declared import Declared


class Distribution(Declared):
    """A value drawn once per episode. Exactly one of the fields is given.

    ``uniform: [low, high]``, ``loguniform: [low, high]`` (low > 0), ``triangular: [low, mode, high]``,
    ``choice: [value, ...]`` (each equally likely).
    """

    uniform: tuple[float, float] | None = None
    loguniform: tuple[float, float] | None = None
    triangular: tuple[float, float, float] | None = None
    choice: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _check(self) -> Distribution:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"needs exactly one of {', '.join(type(self).model_fields)}, got {given or 'none'}"
            )
        values = getattr(self, given[0])
        if not values:
            raise ValueError("choice must not be empty")
        if given[0] != "choice" and list(values) != sorted(values):
            raise ValueError(f"{given[0]} must be in rising order, got {list(values)}")
        if self.loguniform is not None and self.loguniform[0] <= 0:
            raise ValueError(f"loguniform must start above 0, got {self.loguniform[0]}")
        return self

    @property
    def low(self) -> float:
        """Smallest value that can be drawn."""
        return min(self.choice) if self.choice else self._values()[0]

    @property
    def high(self) -> float:
        """Largest value that can be drawn."""
        return max(self.choice) if self.choice else self._values()[-1]

    @property
    def mean(self) -> float:
        """Expected value."""
        values = self._values()
        if self.loguniform is not None:
            low, high = values
            return low if low == high else (high - low) / math.log(high / low)
        return sum(values) / len(values)

    def sample(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map uniform numbers ``u`` in [0, 1), of any shape, to draws (inverse distribution function)."""
        if self.choice is not None:
            return np.asarray(self.choice, np.float64)[(u * len(self.choice)).astype(np.int64)]
        if self.uniform is not None:
            low, high = self.uniform
            return low + u * (high - low)
        if self.loguniform is not None:
            low, high = self.loguniform
            return low * (high / low) ** u
        low, mode, high = self._values()
        if low == high:
            return np.full_like(u, low)
        turn = (mode - low) / (high - low)
        rising = low + np.sqrt(u * (high - low) * (mode - low))
        falling = high - np.sqrt((1.0 - u) * (high - low) * (high - mode))
        return np.where(u < turn, rising, falling)

    def _values(self) -> tuple[float, ...]:
        return self.uniform or self.loguniform or self.triangular or self.choice or ()


Value = float | Distribution


def low(value: Value) -> float:
    """Smallest value that ``value`` can take."""
    return value.low if isinstance(value, Distribution) else value


def high(value: Value) -> float:
    """Largest value that ``value`` can take."""
    return value.high if isinstance(value, Distribution) else value


def mean(value: Value) -> float:
    """Expected value of ``value``."""
    return value.mean if isinstance(value, Distribution) else value


class Limit(Declared):
    """One limit: its nerfed value (level 0) and its lifted value (level 1).

    A bare number in YAML is the nerfed value; a missing lifted value is filled in by the specification
    (none of the impairment, or what the envelope allows).
    """

    nerfed: Value
    lifted: Value | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, data: Any) -> Any:
        if isinstance(data, (int, float, str)) and not isinstance(data, bool):
            return {"nerfed": data}
        if isinstance(data, dict) and data and set(data) <= set(Distribution.model_fields):
            return {"nerfed": data}
        return data

    def at(self, level: float) -> float:
        """Expected value at lift ``level`` in [0, 1]; exact at both ends."""
        lifted = self.nerfed if self.lifted is None else self.lifted
        return (1.0 - level) * mean(self.nerfed) + level * mean(lifted)
