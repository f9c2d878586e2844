"""Plays a script on the grid, as moves."""

from __future__ import annotations

from typing import Any

import numpy as np

from nerfbot.course.elements import STEPS
from nerfbot.course.parser import parse
from nerfbot.grid.build import GridConfig
from nerfbot.grid.codes import BLOCK, KIND_NAMES, OBJECT
from nerfbot.grid.kernels.state import FIRST_CONTACTS
from nerfbot.grid.worlds import GridWorlds
from nerfbot.powers.schedule import Always, Occasional, Schedule
from tests.fidelity.trial import Cell, Facts, Order, Trial


class GridPlayer:
    """Plays a script as moves."""

    def __init__(self, trial: Trial) -> None:
        self.trial, self.course = trial, parse(trial.text).draw(trial.seed)
        schedules: list[Schedule] = []
        ask = trial.asks
        if ask is not None:
            window = {"probability": 1.0, "start": ask.seconds, "length": 20.0}
            schedules.append(Occasional(axes=dict(trial.lift), **window))
        elif trial.lift:
            schedules.append(Always(axes=dict(trial.lift)))
        if trial.edits:
            schedules.append(Always(edits=trial.edits))
        config = GridConfig(
            course=self.course,
            nerf=trial.nerf,
            powers=(*trial.lift, *trial.edits),
            schedule=schedules or "never",
            leases="anywhere" if ask is None else "lift-zones",
            destinations="cell",
            contents=sorted({order.write for order in trial.script}),
        )
        self.worlds: GridWorlds = config.build(1, trial.seed, auto_reset=False)
        self.facts = Facts(self.course)
        self._note()

    @property
    def time(self) -> float:
        """Seconds since the start."""
        return float(self._of("step") * self.worlds.nerf.tick)

    def play(self) -> Facts:
        """Follow the script; the facts of how it went."""
        for order in self.trial.script:
            getattr(self, f"_{order.action.replace('-', '_')}", self._edit)(order)
        return self._facts()

    def _of(self, name: str) -> Any:
        return getattr(self.worlds.state, name).numpy()[0]

    @property
    def _cell(self) -> Cell:
        row, column = divmod(int(self._of("cell")), self.worlds.levels.columns)
        return row, column

    def _act(self, action: int) -> None:
        self.worlds.step(np.array([action]))
        self._note()

    def _note(self) -> None:
        self.facts.arrivals.setdefault(self._cell, self.time)

    def _drive(self, order: Order) -> None:
        down, right = STEPS[order.heading]
        row, column = self._cell
        target = (row + order.cells * down, column + order.cells * right)
        end, still = self.time + order.seconds, 0.0
        while self._cell != target and self.time < end - 1e-9 and still < order.patience:
            before = (self._cell, float(self._of("progress")))
            self._act(1 + list(STEPS).index(order.heading))
            moved = (self._cell, float(self._of("progress"))) != before
            still = 0.0 if moved else still + self.worlds.nerf.tick

    def _wait(self, order: Order) -> None:
        while self.time < order.seconds - 1e-9:
            self._act(0)

    def _look(self, order: Order) -> None:
        self._act(0)
        codes = self.worlds.cells[0, :, :, 0]
        self.facts.observed = frozenset((int(r), int(c)) for r, c in np.argwhere(codes != 0))

    def _ask(self, order: Order) -> None:
        self._wait(order)
        self.facts.granted = bool(self.worlds.state.lift.numpy().any())

    def _edit(self, order: Order) -> None:
        words = [order.action]
        if order.action == "rewrite-cell":
            words.append(order.write)
        if order.cell is not None and order.action not in ("phase", "unlock"):
            words.append(f"at {order.cell[0]},{order.cell[1]}")
        name = " ".join(words)
        table = self.worlds.menu.action_table
        if name not in table:  # the outer wall is in no action
            self.facts.legal.append(False)
            return
        illegal = int(self._of("illegal"))
        self._act(table.index(name))
        self.facts.legal.append(int(self._of("illegal")) == illegal)

    def _facts(self) -> Facts:
        facts, worlds = self.facts, self.worlds
        facts.cell = self._cell
        codes = worlds.state.cells.numpy()[: 3 * worlds.rules.cells : 3]
        for number, code in enumerate(codes.tolist()):
            if BLOCK <= code < 8 or code >= OBJECT:
                row, column = divmod(number, worlds.levels.columns)
                facts.bodies[row, column] = KIND_NAMES[code]
        facts.first_contact = FIRST_CONTACTS[int(self._of("first_contact"))]
        facts.reward = float(self._of("total"))
        facts.keys = int(worlds.state.keys.numpy().sum())
        facts.impacts, facts.no_go = int(self._of("impacts")), float(self._of("no_go"))
        facts.lifted = bool(worlds.state.lift.numpy().any())
        return facts
