"""When powers are granted in training: what every schedule shares, and the ones that do not adapt.

A schedule plans the windows of one episode; the caller requests a lease when a window opens. Adaptive
schedules are in `adaptive`, loading by name or file in `catalogue`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from nerfbot.errors import LeaseError
from nerfbot.limits import AXES
from nerfbot.powers.lease import Lease
from nerfbot.powers.model import Count, Edits, Fraction, Levels, NonNegative, Positive, PowerModel
from nerfbot.powers.region import Region


@dataclass(frozen=True)
class Window:
    """A part of an episode in which a power is to be leased: from `start` (s after the reset) on.

    `duration` and `ramp` in s; the other fields as in `Lease`.
    """

    start: float
    duration: float
    axes: Mapping[str, float] = field(default_factory=dict)
    edits: tuple[str, ...] = ()
    charges: int | None = None
    ramp: float = 0.0


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, (int, float)) else value


Span = Annotated[tuple[NonNegative, NonNegative], BeforeValidator(_pair)]
"""[least, greatest], drawn uniformly; a single number stands for both."""


class Schedule(PowerModel):
    """Base of all schedules. `axes` (default: all four at 1) or `edits`, `region`, `ramp` as in `Lease`."""

    kind: str
    axes: Levels = Field(default_factory=dict)
    edits: Edits = ()
    region: Region | None = None
    charges: Count | None = None
    ramp: NonNegative = 0.0

    @model_validator(mode="before")
    @classmethod
    def _all_axes_by_default(cls, data: dict[str, Any]) -> dict[str, Any]:
        if data.get("axes") or data.get("edits"):
            return data
        return {**data, "axes": dict.fromkeys(AXES, 1.0)}

    @model_validator(mode="after")
    def _one_kind_of_power(self) -> Schedule:
        if self.axes and self.edits:
            raise ValueError(
                f"axes = {self.axes!r} and edits = {self.edits!r}: only one of them may be given"
            )
        return self

    def plan(self, rng: np.random.Generator, horizon: float) -> tuple[Window, ...]:
        """The windows of one episode of `horizon` s, drawn from `rng`, in the order of their start."""
        if not (math.isfinite(horizon) and horizon > 0):
            raise LeaseError(f"horizon = {horizon}: must be a positive number of seconds")
        return self._windows(rng, float(horizon))

    def _windows(self, rng: np.random.Generator, horizon: float) -> tuple[Window, ...]:
        raise NotImplementedError

    def leases(self, window: Window) -> Lease:
        """The lease to request when the window opens."""
        return Lease(
            axes=dict(window.axes),
            edits=window.edits,
            reason=f"schedule {self.kind}",
            region=self.region,
            duration=window.duration,
            charges=window.charges,
            ramp=window.ramp,
        )

    def report(self, success: bool, harm: float, levels: Mapping[str, float] | Sequence[float]) -> None:
        """Report an episode to the schedule. Adaptive ones learn from it; the others only check the values.

        `harm` >= 0 in the experiment's unit of harm; `levels`, by axis or in the order of `AXES`, are the
        highest lift levels that were in force. Raises `LeaseError` for an invalid value.
        """
        if not (math.isfinite(harm) and harm >= 0):
            raise LeaseError(f"harm = {harm}: must be a number of at least 0")
        if not isinstance(levels, Mapping) and len(levels) != len(AXES):
            raise LeaseError(f"levels = {levels!r}: must be {len(AXES)} levels, one for each axis")
        by_axis = dict(levels) if isinstance(levels, Mapping) else dict(zip(AXES, levels, strict=True))
        for axis, level in by_axis.items():
            if axis not in AXES or not 0 <= level <= 1:
                raise LeaseError(f"levels.{axis} = {level}: must be an axis with a level of 0 to 1")
        self._learn(bool(success), float(harm), {axis: float(level) for axis, level in by_axis.items()})

    def _learn(self, success: bool, harm: float, levels: Mapping[str, float]) -> None:
        """Learn from a checked report; only adaptive schedules do."""

    def state(self) -> dict[str, Any]:
        """What the schedule has learned, as JSON data for `restore`."""
        return {"kind": self.kind}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load the `state` of a schedule of the same kind. Raises `LeaseError` for any other."""
        if state.get("kind") != self.kind:
            raise LeaseError(f"state.kind = {state.get('kind')!r}: must be {self.kind!r}")


class Never(Schedule):
    """Nerfed throughout."""

    kind: Literal["never"] = "never"

    def _windows(self, rng: np.random.Generator, horizon: float) -> tuple[Window, ...]:
        return ()


class Always(Schedule):
    """Lifted throughout: one window as long as the episode."""

    kind: Literal["always"] = "always"

    def _windows(self, rng: np.random.Generator, horizon: float) -> tuple[Window, ...]:
        return (Window(0.0, horizon, self.axes, self.edits, self.charges, self.ramp),)


class Occasional(Schedule):
    """With `probability`, an episode has one window; its start and length are drawn uniformly.

    `start` and `length` are [least, greatest] in s, or in steps of `step` s where `step` is given. A
    window ends with the episode at the latest; one that would start after it is not opened.
    """

    kind: Literal["occasional"] = "occasional"
    probability: Fraction = 0.3
    start: Span = (0.0, 10.0)
    length: Span = (10.0, 10.0)
    step: Positive | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Occasional:
        for name, (least, greatest) in (("start", self.start), ("length", self.length)):
            if least > greatest:
                raise ValueError(f"{name} = [{least}, {greatest}]: the first must not be above the second")
        if self.length[0] == 0:
            raise ValueError(f"length = [{self.length[0]}, {self.length[1]}]: must be above 0")
        return self

    def _windows(self, rng: np.random.Generator, horizon: float) -> tuple[Window, ...]:
        # Always three draws: what one episode draws does not shift what the next one does.
        chance, start, length = rng.random(3)
        if chance >= self.probability:
            return ()
        unit = 1.0 if self.step is None else self.step
        begin, long = unit * _between(self.start, start), unit * _between(self.length, length)
        if begin >= horizon:
            return ()
        duration = min(long, horizon - begin)
        return (Window(begin, duration, self.axes, self.edits, self.charges, self.ramp),)


def _between(span: tuple[float, float], part: float) -> float:
    least, greatest = span
    return least + (greatest - least) * part
