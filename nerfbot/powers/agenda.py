"""The leases of one episode: planned at its start, requested when their windows open."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nerfbot.powers.lease import Lease
from nerfbot.powers.schedule import Schedule


class Agenda:
    """The windows that `schedules` plan for an episode of `horizon` s, drawn from `rng`.

    Raises `LeaseError` for a horizon that is not positive.
    """

    def __init__(self, schedules: Sequence[Schedule], rng: np.random.Generator, horizon: float) -> None:
        drawn = [(schedule, window) for schedule in schedules for window in schedule.plan(rng, horizon)]
        self._ahead = sorted(drawn, key=lambda item: item[1].start, reverse=True)

    def due(self, now: float) -> list[Lease]:
        """The leases to request at `now` (s since the reset); each is returned once."""
        leases = []
        while self._ahead and self._ahead[-1][1].start <= now:
            schedule, window = self._ahead.pop()
            leases.append(schedule.leases(window))
        return leases
