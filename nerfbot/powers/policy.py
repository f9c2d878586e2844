"""The policy by which a lease authority grants, and the reasons it gives."""

from __future__ import annotations

from enum import Enum

from pydantic import Field

from nerfbot.limits import AXES
from nerfbot.powers.lease import Lease
from nerfbot.powers.model import EDITS, AxisName, Count, Edits, Levels, NonNegative, Positive, PowerModel
from nerfbot.powers.region import Place, Region


class Refusal(str, Enum):
    """Why a request was refused, or a use of a charge."""

    INVALID_TIME = "invalid-time"
    STALE_TIME = "stale-time"
    LATCHED = "latched"
    AXIS_NOT_ALLOWED = "axis-not-allowed"
    EDIT_NOT_ALLOWED = "edit-not-allowed"
    LEVEL_TOO_HIGH = "level-too-high"
    TOO_LONG = "too-long"
    NO_POSITION = "no-position"
    OUTSIDE_REGION = "outside-region"
    COOLING_DOWN = "cooling-down"
    TOO_MANY = "too-many"
    NO_SUCH_LEASE = "no-such-lease"


class Return(str, Enum):
    """Why a lease returned by itself. The first three are normal returns; the others are immediate."""

    EXPIRED = "expired"
    LEFT_REGION = "left-region"
    CHARGES_SPENT = "charges-spent"
    NO_POSITION = "no-position"
    INVALID_TIME = "invalid-time"
    STALE_TIME = "stale-time"
    RESET = "reset"


class Zone(PowerModel):
    """A lift zone: a region, and the axes and world edits that may be leased in it (default: all)."""

    region: Region
    axes: tuple[AxisName, ...] = AXES
    edits: Edits = EDITS

    def allows(self, lease: Lease) -> bool:
        """Whether every axis and edit of the lease may be leased here."""
        return set(lease.axes) <= set(self.axes) and set(lease.edits) <= set(self.edits)


class LeasePolicy(PowerModel):
    """What may be granted at all. The default grants nothing: it has no zone.

    `zones`: a lease holds only inside a zone that allows all it asks for. `allow_outside`: no zone is
    needed; for training in simulation only. `max_level`: the highest level by axis (1 where an axis is
    not named; 0 forbids it). `edits`: the world edits that may be leased (default none: a robot has
    none). `max_duration` and `cooldown` in s (None: no limit); the cooldown runs from the end of a
    robot's last lease. `max_leases`: how many a robot may hold at once.
    """

    zones: tuple[Zone, ...] = ()
    allow_outside: bool = Field(default=False, strict=True)
    max_level: Levels = Field(default_factory=dict)
    edits: Edits = ()
    max_duration: Positive | None = 30.0
    cooldown: NonNegative = 0.0
    max_leases: Count = 4

    def objection(self, lease: Lease) -> tuple[Refusal, str] | None:
        """Why the policy never grants this lease, with a sentence; None if it may."""
        for axis, level in lease.axes.items():
            highest = self.max_level.get(axis, 1.0)
            if highest == 0.0 < level:
                return Refusal.AXIS_NOT_ALLOWED, f"the policy allows no lift of {axis}"
            if level > highest:
                return (
                    Refusal.LEVEL_TOO_HIGH,
                    f"{axis} = {level:g} is above the policy's highest level {highest:g}",
                )
        for edit in lease.edits:
            if edit not in self.edits:
                return Refusal.EDIT_NOT_ALLOWED, f"the policy does not allow {edit}"
        if self.max_duration is not None and lease.duration > self.max_duration:
            return (
                Refusal.TOO_LONG,
                f"duration = {lease.duration:g} s is above the policy's {self.max_duration:g} s",
            )
        if not self.allow_outside and self.zones and not any(zone.allows(lease) for zone in self.zones):
            refusal = Refusal.AXIS_NOT_ALLOWED if lease.axes else Refusal.EDIT_NOT_ALLOWED
            return refusal, f"no lift zone allows {names(lease)}"
        return None

    def place(self, lease: Lease) -> Place | None:
        """Where the lease would hold; None: anywhere."""
        if self.allow_outside:
            return None if lease.region is None else Place(lease.region, None)
        return Place(lease.region, tuple(zone.region for zone in self.zones if zone.allows(lease)))


def names(lease: Lease) -> str:
    """The axes or edits of a lease, for a sentence."""
    return ", ".join(lease.axes or lease.edits)
