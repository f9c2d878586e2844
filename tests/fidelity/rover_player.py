"""Plays a script on the rover in PyBullet: a closed loop that drives from cell to cell by twists.

Commands pass the nerf layer. The loop knows the rover's true pose and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nerfbot.angles import wrap_angle
from nerfbot.bridge.cells.grid_edits import element_of
from nerfbot.course.elements import STEPS
from nerfbot.course.parser import parse
from nerfbot.course.tracker import TaskTracker
from nerfbot.grid.action_menu import Menu
from nerfbot.powers import EDITS, Lease, LeasePolicy
from nerfbot.sim.errors import InvalidEdit
from nerfbot.sim.plant.nerfed_plant import NerfedPlant
from nerfbot.sim.plant.world_edits import Change
from tests.fidelity.trial import Facts, Order, Trial

SPEED = 1.5
"""m/s that the rover asks for; the nerf decides what comes of it."""
ARRIVED = 0.05
_BRAKING = 1.0
_TURN_FROM, _TURN_TO = 0.5, 0.06


class RoverPlayer:
    """Plays a script as twists: turn towards the next cell, drive straight to its centre."""

    def __init__(self, trial: Trial) -> None:
        self.trial, self.course = trial, parse(trial.text).draw(trial.seed)
        policy = LeasePolicy(allow_outside=True, max_duration=None, edits=EDITS) if not trial.asks else None
        self.plant = NerfedPlant(self.course, trial.nerf, policy=policy, seed=trial.seed, pictures=False)
        self.tracker = TaskTracker(self.course.task, self.course)
        self.facts = Facts(self.course)
        self._lift = dict(trial.lift)
        if trial.lift and trial.asks is None:
            self.plant.request(Lease(axes=self._lift, reason="script", duration=300.0))
        self._note()

    def play(self) -> Facts:
        """Follow the script; the facts of how it went; the physics is closed at the end."""
        try:
            for order in self.trial.script:
                getattr(self, f"_{order.action.replace('-', '_')}", self._edit)(order)
            return self._facts()
        finally:
            self.plant.close()

    def _step(self, forward: float, turn: float) -> Any:
        step = self.plant.step(np.array([forward, turn]))
        self.tracker.consume(step.events, self.plant.time, self.plant.plant.cell)
        for event in step.events:
            if event.harm == "fragile_impulse":
                self.facts.impacts += 1
            elif event.harm == "no_go_time":
                self.facts.no_go += event.quantity
        self._note()
        return step

    def _note(self) -> None:
        self.facts.arrivals.setdefault(self.plant.plant.cell, self.plant.time)

    def _drive(self, order: Order) -> None:
        plant = self.plant
        down, right = STEPS[order.heading]
        row, column = plant.plant.cell
        goal = self.course.centre(row + order.cells * down, column + order.cells * right)
        end, since, place = plant.time + order.seconds, plant.time, plant.position
        turning = False
        while plant.time < end - 1e-9:
            x, y = plant.position
            if math.dist((x, y), place) > 0.03 or turning:
                since, place = plant.time, (x, y)
            elif plant.time - since > order.patience:
                break
            # How far is left along the drive, and how far off its line the rover is
            ahead = (goal[0] - x) * right - (goal[1] - y) * down
            aside = (goal[0] - x) * down + (goal[1] - y) * right
            if ahead < ARRIVED:
                break
            heading = math.atan2(-down, right)
            # Aim at a point of the line half a metre ahead: pure pursuit
            off = wrap_angle(heading + math.atan2(aside, 0.5) - plant.plant.robot.state.heading)
            turning = abs(off) > (_TURN_TO if turning else _TURN_FROM)
            speed = 0.0 if turning else min(SPEED, max(0.1, math.sqrt(2 * _BRAKING * ahead)))
            self._step(speed, 2.5 * off)
        self._halt()

    def _halt(self) -> None:
        for _ in range(12):
            if abs(self._step(0.0, 0.0).readings.twist[0]) < 0.02:
                break

    def _wait(self, order: Order) -> None:
        while self.plant.time < order.seconds - 1e-9:
            self._step(0.0, 0.0)

    def _look(self, order: Order) -> None:
        objects = self._step(0.0, 0.0).readings.objects
        self.facts.observed = frozenset(self.course.element(item.id).position for item in objects)

    def _ask(self, order: Order) -> None:
        self._wait(order)
        self.facts.granted = bool(self.plant.request(Lease(axes=self._lift, reason="script", duration=20.0)))

    def _edit(self, order: Order) -> None:
        edits, cell = self.plant.plant.edits, order.cell or (0, 0)
        (kind, colour), *_ = Menu(["rewrite-cell"], 9, 9, contents=[order.write]).contents.values()
        element = element_of(kind, colour, frozenset({"coin"}))
        chest = next((item.id for item in self.course.of("chest") if item.position == cell), "")
        do: dict[str, Callable[[], Any]] = {
            "move-coin": lambda: edits.move_coin(*cell),
            "teleport": lambda: edits.teleport(*cell),
            "rewrite-cell": lambda: self._rewritten(edits.set_cell(*cell, element)),
            "phase": lambda: edits.phase(True),
            "unlock": lambda: self.tracker.consume([edits.unlock(chest, self.plant.time)]),
        }
        try:
            moved = do[order.action]()
        except InvalidEdit:
            self.facts.legal.append(False)
            return
        if order.action == "move-coin":
            self.tracker.relocate(moved, *cell)
        self.facts.legal.append(True)
        self._step(0.0, 0.0)

    def _rewritten(self, changes: tuple[Change, ...]) -> None:
        for element, is_there in changes:
            (self.tracker.appear if is_there else self.tracker.vanish)(element)

    def _facts(self) -> Facts:
        facts, plant = self.facts, self.plant.plant
        facts.cell = plant.cell
        for thing in plant.arena.things.values():
            if thing.present and thing.element.kind != "marker":
                name = thing.element.kind
                if name in ("coin", "decoy"):
                    name = str(thing.element.properties["shape"])
                x, y, _ = plant.arena.position_of(thing)
                facts.bodies[self.course.cell_of(x, y)] = name
        for gate in plant.arena.gates:
            if not gate.removed:
                facts.bodies[gate.element.position] = "gate"
        facts.reward, facts.first_contact = self.tracker.total_reward, self.tracker.first_contact
        facts.keys = sum(plant.event_detector.keys.values())
        facts.lifted = bool(self.plant.lift.any())
        return facts
