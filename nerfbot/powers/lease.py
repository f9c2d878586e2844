"""A lease: the request to lift the nerf or to use a world edit. The authority grants or refuses it."""

from __future__ import annotations

from pydantic import Field, model_validator

from nerfbot.powers.model import Count, Edits, Levels, NonNegative, Positive, PowerModel, Text
from nerfbot.powers.region import Region


class Lease(PowerModel):
    """A request for a power, limited in place, time and number of uses.

    Either `axes`, levels in [0, 1] by axis, or `edits`, names of world edits; never both. `reason` is a
    sentence for the audit log. `region` is where the lease holds (None: the policy's zones
    alone decide). `duration` in s; `charges` is the number of uses (None: not counted). The level rises
    linearly over the first `ramp` s and falls linearly over the last `ramp` s of the duration; a duration
    below two ramps never reaches the full level. A ramp of 0 is a step. A bad field raises `LeaseError`.

    >>> Lease(axes={"strength": 1.0}, reason="push the block", duration=5.0).ramp
    0.0
    """

    axes: Levels = Field(default_factory=dict)
    edits: Edits = ()
    reason: Text
    region: Region | None = None
    duration: Positive
    charges: Count | None = None
    ramp: NonNegative = 0.0

    @model_validator(mode="after")
    def _one_kind_of_power(self) -> Lease:
        if bool(self.axes) == bool(self.edits):
            raise ValueError(
                f"axes = {self.axes!r} and edits = {self.edits!r}: exactly one of them must be given"
            )
        return self
