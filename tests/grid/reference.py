"""One world of the grid in plain Python, stepped by the rules of docs/grid.md: what the kernels are held to.

It keeps the course's own elements in dictionaries by cell, asks the real `LeaseAuthority` for leases, and
knows no bytes but those it writes as an observation. Slow and meant to be read.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nerfbot.course.capability import ROVER
from nerfbot.course.elements import (
    ELEMENTS,
    GRAVITY,
    Block,
    Chest,
    Coin,
    Decoy,
    Element,
    Fog,
    Fragile,
    Gate,
    Interference,
    Key,
    Marker,
    Ramp,
    Step,
    Wall,
)
from nerfbot.grid.action_menu import Row
from nerfbot.grid.codes import AGENT, COLOURS, KIND_NAMES, MARKED, OPEN, ZONE_BITS
from nerfbot.grid.level_arrays import FRAGILE_FRICTION
from nerfbot.grid.scoring import HarmCost, TimeCost
from nerfbot.limits import AXES
from nerfbot.powers import EDITS, ActiveLease, Lease, LeaseAuthority, LeasePolicy, Zone
from tests.grid.reference_parts import (
    BLOCKED,
    DESTINATION,
    LEVEL,
    NERF,
    PLAN,
    SENSING,
    SLOW,
    WEAK,
    CommandPath,
    Draws,
    Nerf,
)
from tests.grid.reference_place import Cell, Counts, Place, Settings, Thing

HEADINGS = ("east", "north", "west", "south")
STEPS = {1: (0, 1), 2: (-1, 0), 3: (0, -1), 4: (1, 0)}
CODES = {name: code for code, name in KIND_NAMES.items()}
MARKER_NAMES = {"corner": "corner mark", "finish_pad": "finish pad"}


@dataclass
class Outcome:
    """What a tick came to."""

    grid: NDArray[np.uint8]
    vector: list[float]
    mask: list[bool]
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    executed: int = 0
    reasons: int = 0
    contact: int = 0
    edit: tuple[int, Cell | None, Cell | None, bool] | None = None


class World(Place):
    """One world. `begin` an episode, then `step` it; who is done begins the next one by `begin`."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self.settings, self.seed, self.episode = settings, seed, -1
        self.nerf = Nerf(settings.spec, settings.levels[0].cell)
        self.horizon = max(1, round(settings.task.horizon / self.nerf.tick))

    # Episodes

    def begin(self) -> Outcome:
        """Begin the next episode and tell the first observation."""
        settings = self.settings
        self.episode += 1
        self.draws = Draws(self.seed, self.episode)
        self.level = self.draws.below(LEVEL, len(settings.levels))
        self.lay_out(settings.levels[self.level])
        plan = settings.plans[self.draws.below(PLAN, len(settings.plans))]
        self.nerf_row = self.draws.below(NERF, settings.nerfs)
        self.tick = 0
        self.path = CommandPath(self.nerf, self.draws)
        self.driving, self.pressing = 0, 0
        self.way, self.progress = 0, 0.0
        self.phasing, self.phase_until, self.phase_lease = False, 0.0, -1
        self.counts = Counts()
        self.authority = LeaseAuthority(policy=self._policy())
        self.waiting = list(plan)
        self.lift = [0.0] * 4
        self._open_windows()
        return self._outcome()

    def step(self, action: int) -> Outcome:
        """One tick, in the order that docs/grid.md gives."""
        counts, was_apart = self.counts, self.apart()
        counts.apart_steps += was_apart
        self.met_goal = self.met_proxy = False
        self.contact = 0
        self.reward = sum(-term.cost for term in self.settings.terms if isinstance(term, TimeCost))
        edit = None
        before = self.agent
        requested = action
        if not 0 <= action < len(self.settings.table):
            counts.illegal += 1
            requested = 0
        elif action >= 5:
            requested = 0
            edit = self._use(action, self.settings.table[action])
        zone = next((z for z in self._zones_in(self.agent) if isinstance(z, Interference)), None)
        command, reasons = self.path.send(requested, self.tick, self.lift, zone)
        reasons |= self._drive(command)
        if self.agent != before:
            self._enter(self._zones_in(before))
        self._linger()
        terminated = self._score(was_apart)
        counts.total += self.reward
        self.tick += 1
        counts.highest = [max(pair) for pair in zip(counts.highest, self.lift, strict=True)]
        self._open_windows()
        self._settle_phase()
        outcome = self._outcome()
        outcome.reward, outcome.terminated = self.reward, terminated
        outcome.truncated = not terminated and self.tick >= self.horizon
        outcome.executed, outcome.reasons, outcome.edit, outcome.contact = (
            command,
            reasons,
            edit,
            self.contact,
        )
        return outcome

    # Moving

    def _drive(self, command: int) -> int:
        """Drive for one tick; the reasons why it does not do what was requested."""
        if command != self.driving:
            self.pressing = 0
        self.driving = command
        if command == 0:
            return 0
        if command != self.way:
            self.progress, self.way = 0.0, command
        speed = self.nerf.speed(self.lift)
        rate = speed / self.nerf.top
        if rate < 1.0:
            self.progress += rate
            if self.progress < 1.0 - 1e-9:
                return SLOW
            self.progress = max(0.0, self.progress - 1.0)
        why = self._cross(command, speed)
        if why:
            self.progress = 0.0
        return why

    def _cross(self, command: int, speed: float) -> int:
        """Move into the next cell; 0, or why not."""
        (row, column), (down, right) = self.agent, STEPS[command]
        there, beyond = (row + down, column + right), (row + 2 * down, column + 2 * right)
        if not self._interior(there) or (self._shut(there) and not self.phasing):
            return BLOCKED
        needed = self._climb(self.agent, there, HEADINGS[command - 1])
        if needed == float("inf") or needed > self.nerf.push(self.lift):
            return WEAK  # no strength climbs an edge as high as the axle
        if there in self.bodies:
            thing = self.bodies[there]
            item = thing.element
            if isinstance(item, (Chest, Block, Fragile, Coin, Decoy, Key)):
                self._meet("touch", thing, there)
            if isinstance(item, Chest):
                if self.keys[item.colour] > 0:
                    self._open(there)
                    self.keys[item.colour] -= 1
                return BLOCKED
            if isinstance(item, (Block, Fragile)):
                why = self._push(thing, there, beyond, command, speed)
                if why:
                    return why
            if isinstance(item, Key):
                self._meet("take", thing, there)
                self.keys[item.colour] += 1
            if isinstance(item, (Key, Coin)):
                del self.bodies[there]
        self.agent = there
        return 0

    def _push(self, thing: Thing, there: Cell, beyond: Cell, command: int, speed: float) -> int:
        item = thing.element
        if isinstance(item, Fragile):
            force = item.mass * FRAGILE_FRICTION * GRAVITY
            if self.pressing != command:
                self._strike(item, speed, force)
            self.pressing = command
        else:
            assert isinstance(item, Block)
            force = item.push
        if force > self.nerf.push(self.lift):
            return WEAK
        relief = beyond in self.ground and isinstance(self.ground[beyond].element, (Ramp, Step))
        if not self._interior(beyond) or beyond in self.bodies or relief:
            return BLOCKED
        self.bodies[beyond] = self.bodies.pop(there)
        return 0

    def _strike(self, item: Fragile, speed: float, force: float) -> None:
        impulse = speed * ROVER.mass * item.mass / (ROVER.mass + item.mass) + 0.1 * force
        if impulse > item.impulse:
            self.counts.impulse += impulse
            self.counts.impacts += 1
            for term in self.settings.terms:
                if isinstance(term, HarmCost):
                    self.reward -= term.impulse * impulse

    def _meet(self, event: str, thing: Thing, cell: Cell) -> None:
        if not self.contact:
            kind, colour = _look(thing.element)
            self.contact = 16 * kind + colour
        super()._meet(event, thing, cell)

    def _open(self, cell: Cell) -> None:
        self._meet("open", self.bodies[cell], cell)
        del self.bodies[cell]

    def _linger(self) -> None:
        if any(zone.kind == "no_go" for zone in self._zones_in(self.agent)):
            self.counts.no_go += self.nerf.tick
            for term in self.settings.terms:
                if isinstance(term, HarmCost):
                    self.reward -= term.no_go * self.nerf.tick

    # Leases

    def _policy(self) -> LeasePolicy:
        limit, settings = self.settings.longest, self.settings
        if settings.leases == "anywhere":
            return LeasePolicy(allow_outside=True, edits=EDITS, max_duration=limit)
        zones = tuple(
            Zone(region=region.shape, axes=tuple(a for a in AXES if a in region.zone.properties["axes"]))
            for region in self.course.regions
            if region.kind == "lift_zone"
        )
        return LeasePolicy(zones=zones, edits=EDITS, max_duration=limit)

    def _open_windows(self) -> None:
        """Bring the leases to the present time and place, then ask for those whose window has come."""
        position = self.course.centre(*self.agent)
        held = {lease.lease_id: lease.end for lease in self.authority.active()}
        self.authority.update(self.now, [position])
        still = {lease.lease_id for lease in self.authority.active()}
        if self.phase_lease in held and self.phase_lease not in still and held[self.phase_lease] > self.now:
            self.phase_until = self.now  # its lease has lost its place
        for window in [window for window in self.waiting if window.start <= self.now]:
            self.waiting.remove(window)
            lease = Lease(
                axes=dict(window.axes),
                edits=window.edits,
                reason="a window",
                region=self.settings.region,
                duration=window.duration,
                charges=window.charges,
                ramp=window.ramp,
            )
            self.counts.refused += not self.authority.request(lease, self.now, position)
        self.lift = self.authority.update(self.now, [position])[0].tolist()

    def _active(self) -> tuple[ActiveLease, ...]:
        return self.authority.active(0)

    def _granted(self) -> set[str]:
        return {edit for lease in self._active() for edit in lease.lease.edits}

    def _settle_phase(self) -> None:
        if self.phasing and self.now >= self.phase_until and not self._shut(self.agent):
            self.phasing = False

    # Edits

    def _use(self, action: int, row: Row) -> tuple[int, Cell | None, Cell | None, bool]:
        """Use a world edit; (action, from, to, whether it was done)."""
        edit = EDITS[row.edit]
        lease = next((lease for lease in self._active() if edit in lease.lease.edits), None)
        done: tuple[Cell, Cell] | None = None
        if lease is not None:
            done = getattr(self, "_" + edit.replace("-", "_"))(row, lease)
        if done is None or lease is None:
            self.counts.illegal += 1
            return action, None, None, False
        self.counts.used[edit] += 1
        self.authority.use_charge(lease.lease_id, self.now)
        return action, *done, True

    def _phase(self, row: Row, lease: ActiveLease) -> tuple[Cell, Cell] | None:
        if self.phasing:
            return None
        self.phasing, self.phase_until, self.phase_lease = True, lease.end, lease.lease_id
        return self.agent, self.agent

    def _move_coin(self, row: Row, lease: ActiveLease) -> tuple[Cell, Cell] | None:
        coins = [cell for cell in sorted(self.bodies) if self._is(cell, Coin)]
        there = self._draw(row, self._free) if coins else None
        if there is None:
            return None
        self.bodies[there] = self.bodies.pop(coins[0])
        return coins[0], there

    def _teleport(self, row: Row, lease: ActiveLease) -> tuple[Cell, Cell] | None:
        there, here = self._draw(row, self._free), self.agent
        if there is None:
            return None
        self.agent, self.progress, self.pressing = there, 0.0, 0
        return here, there

    def _rewrite_cell(self, row: Row, lease: ActiveLease) -> tuple[Cell, Cell] | None:
        written = self._content(row)

        def changes(cell: Cell) -> bool:
            old = self.bodies[cell].element if cell in self.bodies else None
            coin = old is not None and old.kind == "coin"
            return self._interior(cell) and cell != self.agent and not coin and not _same(old, written)

        there = self._draw(row, changes)
        if there is None:
            return None
        self.bodies.pop(there, None)
        if written is not None:
            self.bodies[there] = Thing(written)
        return there, there

    def _unlock(self, row: Row, lease: ActiveLease) -> tuple[Cell, Cell] | None:
        chests = [cell for cell in self._closed_chests() if self._interior(cell) and cell != self.agent]
        if not chests:
            return None
        there = chests[self.draws.below(DESTINATION, len(chests), self.tick)]
        self._open(there)
        return there, there

    def _free(self, cell: Cell) -> bool:
        return self._interior(cell) and cell != self.agent and cell not in self.bodies

    def _draw(self, row: Row, legal) -> Cell | None:
        """A legal cell of the row's rectangle; 64 tries, one where there is no choice."""
        height, width = row.rows[1] - row.rows[0] + 1, row.columns[1] - row.columns[0] + 1
        for lane in range(64 if height * width > 1 else 1):
            down, right = divmod(self.draws.below(DESTINATION, height * width, self.tick, lane), width)
            cell = (row.rows[0] + down, row.columns[0] + right)
            if legal(cell):
                return cell
        return None

    def _content(self, row: Row) -> Element | None:
        """What a row of the menu writes, from its name: "rewrite-cell red line at 1,2"."""
        words = row.name.split()[1:]
        if words[0] in ("wall", "floor"):
            return Wall() if words[0] == "wall" else None
        colour, what = words[0], words[1]
        if what in ("key", "chest"):
            return ELEMENTS[what](colour=colour)
        return (Coin if what in self.settings.coins else Decoy)(colour=colour, shape=what)

    # Observation

    def _sees(self, cell: Cell) -> bool:
        """Whether a cell is within range, and the line to it not too long in fog (followed in quarters)."""
        down, right = cell[0] - self.agent[0], cell[1] - self.agent[1]
        metres = float(np.hypot(down, right)) * self.course.cell
        if metres > self.nerf.sight(self.lift) + 1e-9:
            return False
        own = min(1e9, self.nerf.sight([1.0] * len(self.lift)))
        for share, rows, columns in line_of_sight(down, right):
            for zone in self._zones_in((self.agent[0] + rows, self.agent[1] + columns)):
                if isinstance(zone, Fog):
                    more = self.lift[SENSING] * max(own - zone.visibility, 0.0)
                    if metres * (1.0 - share) > zone.visibility + more + 1e-9:
                        return False
        return True

    def _cell_bytes(self, cell: Cell) -> tuple[int, int, int]:
        item = self.ground[cell].element if cell in self.ground else None
        state = sum(ZONE_BITS[zone.kind] for zone in self._zones_in(cell))
        if cell in self.bodies:
            if isinstance(item, Marker):
                state += MARKED
            item = self.bodies[cell].element
            if isinstance(item, Gate) and item.is_open(self.now):
                state += OPEN
        return *_look(item), state

    def _outcome(self) -> Outcome:
        rows, columns, settings = self.course.rows, self.course.columns, self.settings
        grid = np.zeros((rows, columns, 3), np.uint8)
        for cell in np.ndindex(rows, columns):
            if self._sees(cell):
                grid[cell] = self._cell_bytes(cell)
        grid[(*self.agent, 2)] |= AGENT
        vector = [self.progress, float(self.phasing)]
        if settings.keys:
            vector += [float(self.keys[colour]) for colour in COLOURS]
        granted, active = self._granted(), self._active()
        if settings.reveal:
            vector += [*self.lift, *(float(edit in granted) for edit in EDITS)]
            vector.append(max((lease.end - self.now for lease in active), default=0.0))
            last = active[-1].charges if active else 0
            vector.append(-1.0 if last is None else float(last))
        mask = [row.edit < 0 or not settings.reveal or EDITS[row.edit] in granted for row in settings.table]
        return Outcome(grid, vector, mask)


@functools.cache
def line_of_sight(down: int, right: int) -> tuple[tuple[float, int, int], ...]:
    """Quarter by quarter of a cell: the share of the way gone, and how many rows and columns that is."""
    quarters = 4 * max(abs(down), abs(right))

    def gone(cells: int, quarter: int) -> int:
        return int(np.copysign(np.floor(abs(cells * quarter / quarters) + 0.5), cells))

    return tuple((q / quarters, gone(down, q), gone(right, q)) for q in range(quarters))


def _same(old: Element | None, new: Element | None) -> bool:
    """Whether a cell would look the same: kind, shape and colour (a coin's are its look)."""
    if old is None or new is None:
        return old is new
    keys = ("colour", "shape")
    return type(old) is type(new) and all(old.properties.get(k) == new.properties.get(k) for k in keys)


def _look(item: Element | None) -> tuple[int, int]:
    """Kind and colour of a cell with this on top."""
    colour = None if item is None else item.properties.get("colour")
    return CODES[_name(item)], 0 if colour is None else 1 + COLOURS.index(str(colour))


def _name(item: Element | None) -> str:
    """What codes.py calls the look of a cell with this on top."""
    if item is None:
        return "floor"
    if isinstance(item, (Coin, Decoy)):
        return item.shape
    if isinstance(item, Marker):
        return MARKER_NAMES[item.shape]
    return f"ramp {item.direction}" if isinstance(item, Ramp) else item.kind
