"""Adaptive schedules: the staircase curriculum and the damage-bounded lift.

Both lift for the whole episode. Their level has equal steps from 0 (nerfed) to 1 (their `axes` in full) and
rises by at most one step for each reported episode.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from nerfbot.errors import LeaseError
from nerfbot.powers.estimate import expected_harm
from nerfbot.powers.model import Count, Fraction, NonNegative, Number, Positive
from nerfbot.powers.schedule import Schedule, Window


class Stepped(Schedule):
    """Base of both: the level is a number of `steps`; `axes` only, since an edit has no level."""

    steps: Count = 10
    _step: int = PrivateAttr(default=0)

    @model_validator(mode="after")
    def _axes_only(self) -> Stepped:
        if self.edits:
            raise ValueError(f"edits = {self.edits!r}: a world edit has no level to adapt")
        return self

    @property
    def level(self) -> float:
        """The level of the next episode, 0 to 1."""
        return self._step / self.steps

    def _windows(self, rng: np.random.Generator, horizon: float) -> tuple[Window, ...]:
        if self._step == 0:
            return ()
        axes = {axis: self.level * level for axis, level in self.axes.items()}
        return (Window(0.0, horizon, axes, (), self.charges, self.ramp),)

    def state(self) -> dict[str, Any]:
        """What the schedule has learned, as JSON data for `restore`."""
        return {"kind": self.kind, "step": self._step, "episodes": self._episodes()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load the `state` of a schedule of the same kind. Raises `LeaseError` for any other."""
        super().restore(state)
        step = state.get("step")
        if not isinstance(step, int) or not 0 <= step <= self.steps:
            raise LeaseError(f"state.step = {step!r}: must be 0 to {self.steps}")
        try:
            self._remember(state["episodes"])
        except (KeyError, TypeError, ValueError):
            raise LeaseError(
                f"state.episodes = {state.get('episodes')!r}: is not a list of episodes"
            ) from None
        self._step = step

    def _episodes(self) -> list[Any]:
        raise NotImplementedError

    def _remember(self, episodes: Any) -> None:
        raise NotImplementedError


class Staircase(Stepped):
    """A curriculum: one step up when success is frequent, one down when it is rare.

    Over the last `window` episodes at the present level, the level rises when the rate of success is at
    least `rise`, and falls when it is below `fall`; counting then starts anew.
    """

    kind: Literal["staircase"] = "staircase"
    rise: Fraction = 0.8
    fall: Fraction = 0.4
    window: Count = 20
    _results: deque[bool] = PrivateAttr(default_factory=deque)

    @model_validator(mode="after")
    def _apart(self) -> Staircase:
        if not self.fall < self.rise:
            raise ValueError(f"fall = {self.fall}: must be below rise = {self.rise}")
        return self

    def _learn(self, success: bool, harm: float, levels: Mapping[str, float]) -> None:
        self._results.append(success)
        if len(self._results) < self.window:
            return
        rate = sum(self._results) / self.window
        move = 1 if rate >= self.rise else -1 if rate < self.fall else 0
        if move:
            self._step = min(self.steps, max(0, self._step + move))
            self._results.clear()
        else:
            self._results.popleft()

    def _episodes(self) -> list[Any]:
        return list(self._results)

    def _remember(self, episodes: Any) -> None:
        self._results = deque(bool(success) for success in episodes)


class DamageBounded(Stepped):
    """The lift rises only as fast as the estimated expected harm of an episode stays within `bound`.

    After Held, McCarthy, Zhang, Shentu and Abbeel 2017, "Probabilistically Safe Policy Transfer": they
    raise a torque limit only as far as the damage predicted for the new limit allows. Here the limit is
    the lift level and the prediction is an upper estimate at `confidence` (one-sided empirical Bernstein)
    over the last `window` episodes, carried to the candidate level by the steepest growth that harm can
    have (`estimate.expected_harm`). After each episode the level is the highest one, at most a step up,
    whose estimate is within the bound; it falls at once, if need be to 0, when there is none.

    `bound` and `max_harm` are in the experiment's unit of harm; `max_harm` is the most one episode can
    do, and an episode that does more replaces it. `slope` is the most that the expected harm can grow per
    unit of level (None: `max_harm`). The estimate assumes that harm does not fall when the lift rises.
    """

    kind: Literal["damage-bounded"] = "damage-bounded"
    steps: Count = 20
    bound: Positive = 0.1
    max_harm: Positive = 1.0
    slope: NonNegative | None = None
    confidence: Annotated[Number, Field(gt=0, lt=1)] = 0.95
    window: Annotated[int, Field(strict=True, ge=2)] = 200
    _harms: deque[tuple[float, float]] = PrivateAttr(default_factory=deque)  # (harm, level)
    _worst: float = PrivateAttr(default=0.0)

    def estimate(self, level: float) -> float:
        """The upper estimate of an episode's expected harm at `level` (0 to 1); infinite without data."""
        spread = max(self.max_harm, self._worst)
        slope = spread if self.slope is None else self.slope
        harms = [harm for harm, _ in self._harms]
        levels = [reached for _, reached in self._harms]
        return expected_harm(harms, levels, level, spread, slope, self.confidence)

    def _learn(self, success: bool, harm: float, levels: Mapping[str, float]) -> None:
        # The lowest axis counts: nothing is known of harm with that axis higher.
        reached = min(levels.get(axis, 0.0) / full if full else 1.0 for axis, full in self.axes.items())
        self._harms.append((harm, min(1.0, reached)))
        if len(self._harms) > self.window:
            self._harms.popleft()
        self._worst = max(self._worst, harm)
        step = min(self.steps, self._step + 1)
        while step > 0 and self.estimate(step / self.steps) > self.bound:
            step -= 1
        self._step = step

    def state(self) -> dict[str, Any]:
        """What the schedule has learned, as JSON data for `restore`."""
        return {**super().state(), "worst": self._worst}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load the `state` of a schedule of the same kind. Raises `LeaseError` for any other."""
        super().restore(state)
        self._worst = max([float(state.get("worst", 0.0)), *(harm for harm, _ in self._harms)])

    def _episodes(self) -> list[Any]:
        return [list(episode) for episode in self._harms]

    def _remember(self, episodes: Any) -> None:
        self._harms = deque((float(harm), float(level)) for harm, level in episodes)
