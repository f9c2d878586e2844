"""The powers of one episode: leases requested as schedules plan them, and world edits used under them.

Both PyBullet environments share it. What an edit does is in `world_edits`; who may hold a lease is decided by
the plant's lease authority.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nerfbot.course import Course, TaskTracker
from nerfbot.limits import AXES
from nerfbot.powers import Agenda, LeasePolicy, Schedule

from .nerfed_plant import NerfedPlant, lift_zone_policy
from .world_edits import EditOutcome


def lease_policy(course: Course, leases: str, edits: tuple[str, ...]) -> LeasePolicy:
    """What an environment grants: ``leases`` is "anywhere" or "lift-zones" (lifts in those of ``course``)."""
    if leases == "lift-zones":
        return lift_zone_policy(course).model_copy(update={"edits": edits})
    return LeasePolicy(allow_outside=True, edits=edits, max_duration=None)


class EpisodePowers:
    """Begins with the plant's reset: plans the leases of ``schedules`` from ``rng`` and requests the first.

    ``tracker`` scores the episode; it learns where edits move coins.
    """

    def __init__(
        self,
        nerfed: NerfedPlant,
        schedules: Sequence[Schedule],
        rng: np.random.Generator,
        tracker: TaskTracker,
    ) -> None:
        self._nerfed, self._schedules, self._tracker = nerfed, schedules, tracker
        self._agenda = Agenda(schedules, rng, tracker.task.horizon)
        self.highest_lift = [0.0] * len(AXES)
        self.used: Counter[str] = Counter()
        """How often each edit was done."""
        self.illegal = 0
        """How often an edit was tried outside its lease, or where it was legal nowhere."""
        self.update()

    def update(self) -> None:
        """Request the leases that are due, note those in force (``active``), end phasing without a lease."""
        nerfed = self._nerfed
        for lease in self._agenda.due(nerfed.time):
            nerfed.request(lease)
        self.active = nerfed.authority.active(0)
        edits = nerfed.plant.edits
        if edits.phasing and "phase" not in self.granted:
            edits.phase(False)

    def note_lift(self, lift: Sequence[float]) -> None:
        """Note the lift (4,) of a step for ``highest_lift``."""
        if any(lift):
            self.highest_lift = list(map(max, self.highest_lift, lift))

    @property
    def granted(self) -> tuple[str, ...]:
        """The edits of the leases in force."""
        return tuple(edit for item in self.active for edit in item.lease.edits)

    @property
    def remaining(self) -> tuple[float, float] | None:
        """Seconds until the last lease in force ends, and its charges (-1: not counted); None without any."""
        if not self.active:
            return None
        charges = self.active[-1].charges
        left = max(item.end for item in self.active) - self._nerfed.time
        return left, -1.0 if charges is None else float(charges)

    def use(self, edit: str, apply: Callable[[], EditOutcome]) -> EditOutcome:
        """Do an edit by ``apply`` under its lease; without one, or where it is legal nowhere, only count."""
        lease = next((item for item in self.active if edit in item.lease.edits), None)
        outcome = EditOutcome(False) if lease is None else apply()
        if lease is None or not outcome.done:
            self.illegal += 1
            return EditOutcome(False)
        self._nerfed.authority.use_charge(lease.lease_id, self._nerfed.time)
        self.active = self._nerfed.authority.active(0)
        self.used[edit] += 1
        for coin, cell in self._nerfed.plant.coin_cells():
            self._tracker.relocate(coin, *cell)
        return outcome

    def finish(self) -> None:
        """Report the episode's success, harm and highest lift to the schedules, which may adapt."""
        harm = float(sum(self._tracker.harm.values()))
        for schedule in self._schedules:
            schedule.report(self._tracker.reached_goal, harm, self.highest_lift)

    def summary(self) -> Mapping[str, Any]:
        """The part of ``info["episode_summary"]`` about powers."""
        return {
            "highest_lift": dict(zip(AXES, self.highest_lift, strict=True)),
            "edits": dict(self.used),
            "illegal_edits": self.illegal,
        }
