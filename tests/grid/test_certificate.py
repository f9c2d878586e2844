"""What `nerfbot course check` proves of a course holds on the grid: in reach is reached, out of reach is not.

In reach: the oracle's path, or where something has to be pushed or waited for the way that an exhaustive
search through the real kernels found, is played and reaches the goal. Out of reach: the exhaustive search
finds no way, harming nothing, as the solver counts it. Limits are those of rover-weak without chance.
"""

from __future__ import annotations

import numpy as np
import pytest

from nerfbot.course import load_plan
from nerfbot.course.capability import Abilities
from nerfbot.course.search import Search
from nerfbot.course.solver import solve
from nerfbot.grid.kernels.state import Worlds
from nerfbot.grid.oracles import Assume, Oracle
from nerfbot.limits import AXES, NerfSpec
from tests.grid.plants import course_of, grid

MOVES = 5
BATCH = 2048

SPEC = NerfSpec.parse(
    {
        "name": "weak-and-slow",
        "channels": {
            "linear.x": {
                "effort": {"nerfed": 12.0, "lifted": 45.0},
                "velocity": {"nerfed": 0.4, "lifted": 1.2},
            }
        },
    }
)
ABILITIES = Abilities.from_spec(SPEC)

MAZES = ("coin-in-corner", "yellow-coin", "keys-and-chests", "scarce-keys", "corner")
OBSTACLES = ("strength", "ramp", "speed", "finish-pad")

DESCRIBES = ("cells", "cell", "progress", "way", "last", "pushing", "keys", "thing_cell")
"""What a state is, beside its time."""


def proved(level, lifted):
    """The goals of a level, and those that the solver proves in reach before the horizon."""
    goals = [item for item in level.elements if level.task.goal.covers(item)]
    able = ABILITIES.lifted if lifted else ABILITIES.nerfed
    search = Search(level, able, free=frozenset(goal.position for goal in goals))
    reached = set()
    for colour in {goal.colour for goal in goals}:
        goal_cells = frozenset(goal.position for goal in goals if goal.colour == colour)
        outcome = search.run(goal_cells, colour if level.task.goal.kind == "chest" else None)
        assert not outcome.undecided
        reached |= set(outcome.arrival)
    return goals, reached


def worlds_of(level, lifted, **options):
    """Worlds of one level, nerfed or with every axis lifted throughout."""
    schedule = "always" if lifted else "never"
    return grid(level, SPEC, powers=AXES, schedule=schedule, auto_reset=False, **options)


class Everything:
    """Every state of a level that is in reach before the horizon, by the real kernels.

    A state that has harmed something is left out. Where gates make time matter it belongs to the state.
    """

    def __init__(self, level, lifted):
        self.worlds = worlds_of(level, lifted, count=BATCH)
        self.timed = bool(level.of("gate"))
        self.rows = {}
        for name in Worlds.vars:
            flat = getattr(self.worlds.state, name).numpy()
            if name != "chunks" and flat.size >= BATCH:
                self.rows[name] = flat.reshape(BATCH, -1)

    def way(self):
        """The shortest sequence of moves to a goal; None where there is none."""
        layer = {name: rows[:1].copy() for name, rows in self.rows.items()}
        visited = set(self._keys(layer))
        history = []
        for _ in range(int(self.worlds.rules.horizon)):
            layer, parents, actions, goal = self._following(layer, visited)
            history.append((parents, actions))
            if goal is not None:
                return self._trace(history, goal)
            if not len(parents):
                return None
        return None

    def _following(self, layer, visited):
        """The states one tick on that are new, where each comes from, and the first that reached a goal."""
        count = len(layer["cell"])
        layer_states, parents, actions = [], [], []
        for first in range(0, count * MOVES, BATCH):
            number = np.arange(first, min(first + BATCH, count * MOVES))
            self._put(layer, number // MOVES)
            given = np.zeros(BATCH, np.int64)
            given[: len(number)] = number % MOVES
            self.worlds.terminated[:] = self.worlds.truncated[:] = False
            self.worlds.step(given)
            size = len(number)
            rewarded = np.flatnonzero(self.worlds.reward[:size] > 0.0)
            if len(rewarded):
                at = number[rewarded[0]]
                parents.append(at // MOVES)
                actions.append(at % MOVES)
                return None, parents, actions, len(parents) - 1
            harm = self.rows["no_go"][:size, 0] + self.rows["impulse"][:size, 0]
            done = self.worlds.terminated[:size] | self.worlds.truncated[:size]
            for row, key in enumerate(self._keys(self.rows, size)):
                if not harm[row] and not done[row] and key not in visited:
                    visited.add(key)
                    layer_states.append({name: rows[row].copy() for name, rows in self.rows.items()})
                    parents.append(number[row] // MOVES)
                    actions.append(number[row] % MOVES)
        stacked = {name: np.array([state[name] for state in layer_states]) for name in self.rows}
        return stacked, parents, actions, None

    def _put(self, layer, selected):
        for name, rows in self.rows.items():
            rows[: len(selected)] = layer[name][selected]

    def _keys(self, rows, size=None):
        names = (*DESCRIBES, "step") if self.timed else DESCRIBES
        parts = [rows[name][:size] for name in names if name in rows]
        table = np.concatenate([np.ascontiguousarray(part).view(np.uint8) for part in parts], axis=1)
        return [row.tobytes() for row in table]

    @staticmethod
    def _trace(history, at):
        path = []
        for parents, actions in reversed(history):
            path.append(int(actions[at]))
            at = parents[at]
        return path[::-1]


def play(level, lifted, path, held):
    """Whether playing a path reaches a goal; `held`: each move is kept up until its cell is left."""
    worlds = worlds_of(level, lifted)
    for move in path:
        before = int(worlds.cell[0])
        while not (worlds.terminated[0] or worlds.truncated[0]):
            worlds.step(np.array([move]))
            if worlds.reward[0] > 0.0:
                return True
            if not held or worlds.cell[0] != before:
                break
    return False


@pytest.mark.parametrize("lifted", [False, True])
@pytest.mark.parametrize("name", MAZES)
def test_in_mazes_what_is_proved_in_reach_is_reached_by_the_oracles_path(name, lifted):
    plan = load_plan(name)
    for seed in range(20):
        level = plan.draw(seed)
        _, reached = proved(level, lifted)
        path = Oracle(worlds_of(level, lifted), avoid_proxies=True).path(0)  # the solver goes round decoys
        assert bool(path) == bool(reached), seed
        if reached:
            assert play(level, lifted, path, held=True), seed


@pytest.mark.parametrize("lifted", [False, True])
@pytest.mark.parametrize("name", OBSTACLES)
def test_behind_obstacles_the_proof_and_an_exhaustive_search_agree(name, lifted):
    plan = load_plan(name)
    for seed in (None, 0, 1):
        level = plan.draw(seed)
        _, reached = proved(level, lifted)
        path = Everything(level, lifted).way()
        assert (path is not None) == bool(reached), seed
        if path is not None:
            assert play(level, lifted, path, held=False), seed
            open_way = Oracle(worlds_of(level, lifted), Assume.OPEN)
            assert 0 < open_way.ticks()[0] <= len(path)


@pytest.mark.parametrize("name", OBSTACLES)
def test_the_obstacles_are_claimed_and_proved_to_need_a_lift(name):
    report = solve(load_plan(name), ABILITIES)
    assert report.goals[0].nerfed.share < 1.0
    assert report.goals[0].lifted.share == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_in_a_maze_the_oracle_is_as_short_as_an_exhaustive_search(seed):
    level = load_plan("coin-in-corner").draw(seed)
    path = Everything(level, lifted=True).way()
    assert path is not None
    assert Oracle(worlds_of(level, lifted=True)).moves().tolist() == [len(path)]


def test_a_chest_in_the_only_way_to_its_key_is_out_of_reach_for_both():
    legend = {"x": {"kind": "chest"}, "k": {"kind": "key"}}
    level = course_of(["######", "#S.xk#", "######"], legend, "{goal: {kind: chest}}")
    assert proved(level, lifted=True)[1] == set()
    assert Everything(level, lifted=True).way() is None
    assert Oracle(worlds_of(level, lifted=True)).path(0) == []
