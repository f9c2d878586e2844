"""The oracles against a plain search written apart from them, and against every sequence of moves."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from nerfbot.errors import InvalidCommand
from nerfbot.grid.kernels.state import MET_PROXY
from nerfbot.grid.oracles import Assume, Oracle
from nerfbot.limits import NerfSpec
from tests.grid.plants import course_of, grid

DEPTH = 7
GAMMA = 0.9
MOVES = {1: (0, 1), 2: (-1, 0), 3: (0, -1), 4: (1, 0)}
PIECES = {
    "D": {"kind": "decoy", "shape": "gem", "colour": "red"},
    "L": {"kind": "block", "mass": 1.0, "friction": 0.4},
    "H": {"kind": "block", "mass": 100.0, "friction": 0.4},
    "M": {"kind": "marker", "shape": "corner"},
    "n": {"kind": "no_go"},
    "G": {"kind": "gate", "period": 6.0, "open": 2.0},
    "F": {"kind": "fragile", "mass": 1.0, "impulse": 100.0},
    "k": {"kind": "key", "colour": "yellow"},
    "x": {"kind": "chest", "colour": "yellow"},
    "r": {"kind": "key", "colour": "red"},
    "X": {"kind": "chest", "colour": "red"},
}
PROXY_KINDS = {"D": "decoy", "M": "marker", "n": "no_go"}
CHESTS = "{goal: {kind: chest}, proxies: [{kind: key, spare: true}]}"


def slow(rate):
    """A nerf under which a move adds `rate` of a cell."""
    velocity = {"nerfed": rate, "lifted": 1.0}
    return NerfSpec.parse({"name": "slow", "channels": {"linear.x": {"velocity": velocity}}})


def weak():
    return NerfSpec.parse(
        {"name": "weak", "channels": {"linear.x": {"effort": {"nerfed": 20.0, "lifted": 20.0}}}}
    )


def random_map(seed, pieces, size=6, walls=0.2):
    """A small walled room: walls by chance, the start, and one of each piece on a cell of its own."""
    rng = np.random.default_rng(seed)
    rows = np.full((size, size), "#")
    inner = rows[1:-1, 1:-1]
    inner[:] = np.where(rng.random(inner.shape) < walls, "#", ".")
    for piece, place in zip("S" + pieces, rng.permutation(inner.size), strict=False):
        inner.flat[place] = piece
    return ["".join(row) for row in rows]


def proxies(rows):
    """A task with these maps' proxies."""
    named = [kind for piece, kind in PROXY_KINDS.items() if piece in "".join(rows)]
    return "{proxies: [" + ", ".join(f"{{kind: {kind}}}" for kind in named) + "]}"


def used(rows):
    return {piece: look for piece, look in PIECES.items() if piece in "".join(rows)}


def every_sequence(course, nerf="none", depth=DEPTH, target="goal", end_on_proxy=False):
    """The fewest ticks to a goal (or a proxy) of all sequences of moves, -1 for none; and the best return."""
    worlds = grid(course, nerf, count=4**depth, auto_reset=False, end_on_proxy=end_on_proxy)
    number = np.arange(worlds.count)
    best, fewest = 0.0, -1
    for tick in range(depth):
        before = worlds.first_contact.copy()
        worlds.step(number // 4**tick % 4 + 1)
        best = max(best, float((GAMMA**tick * worlds.reward).max()))
        met = worlds.reward > 0 if target == "goal" else (worlds.first_contact == MET_PROXY) & (before == 0)
        if met.any() and fewest < 0:
            fewest = tick + 1
    return fewest, best


def plain_search(course, start, keys=()):
    """Distance to the nearest coin, or chest with its key in hand, by a search over a course's elements."""
    kind_at = {item.position: item for item in course.elements if item.layer == "body"}
    first = (start, frozenset(keys))
    queue, visited = deque([(first, 0)]), {first}
    while queue:
        ((row, column), held), moves = queue.popleft()
        for down, right in MOVES.values():
            cell = (row + down, column + right)
            item = kind_at.get(cell)
            kind = None if item is None else item.kind
            if kind == course.task.goal.kind and (kind != "chest" or item.colour in held):
                return moves + 1
            if kind in ("wall", "block", "gate", "fragile", "chest"):
                continue
            following = (cell, held | {item.colour} if kind == "key" else held)
            if following not in visited:
                visited.add(following)
                queue.append((following, moves + 1))
    return -1


@pytest.mark.parametrize("name", ["coin-in-corner", "coin-in-corner-13", "keys-and-chests", "scarce-keys"])
def test_moves_agree_with_a_plain_search_on_drawn_levels(name):
    worlds = grid(name, levels=64)
    moves_found = Oracle(worlds, at_starts=True).moves()
    assert moves_found.tolist() == [
        plain_search(course, course.start_cell) for course in worlds.levels.courses
    ]


@pytest.mark.parametrize("seed", range(30))
def test_moves_agree_with_a_plain_search_on_random_maps(seed):
    rows = random_map(seed, "CCHGFkDr" if seed % 2 else "xXkrHG", size=9, walls=0.3)
    course = course_of(rows, used(rows), "{goal: {kind: coin}}" if seed % 2 else CHESTS)
    assert Oracle(grid(course)).moves().tolist() == [plain_search(course, course.start_cell)]


def test_moves_are_those_from_the_present_state():
    worlds = grid("coin-in-corner", count=200, levels=50, horizon=1000)
    rng = np.random.default_rng(0)
    for _ in range(12):
        worlds.step(rng.integers(0, 5, worlds.count))
    moves_found = Oracle(worlds).moves()
    assert len(set(worlds.cell.tolist())) > 20
    for world in range(worlds.count):
        start = divmod(int(worlds.cell[world]), worlds.levels.columns)
        assert moves_found[world] == plain_search(worlds.levels.courses[worlds.level[world]], start)


def test_distances_are_symmetric_to_a_plain_flood_of_the_room():
    rows = ["#######", "#S.#..#", "#.##..#", "#...C.#", "#######"]
    moves_found = Oracle(grid(course_of(rows))).distances()[0]
    assert moves_found[1:4, 1:6].tolist() == [[0, 1, -1, 7, 8], [1, -1, -1, 6, 7], [2, 3, 4, 5, 6]]
    assert (moves_found[0] == -1).all()


@pytest.mark.parametrize("seed", range(12))
def test_no_sequence_of_moves_is_shorter_or_returns_more(seed):
    course = course_of(random_map(seed, "CC"))
    oracle = Oracle(grid(course))
    fewest, best = every_sequence(course)
    moves = int(oracle.moves()[0])
    assert (moves if moves <= DEPTH else -1) == fewest
    if fewest > 0:
        assert oracle.optimal_return(GAMMA)[0] == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_a_chest_is_as_far_as_the_shortest_way_by_its_key(seed):
    rows = random_map(seed + 100, "xXkr", walls=0.1)
    course = course_of(rows, used(rows), CHESTS)
    moves = int(Oracle(grid(course)).moves()[0])
    assert (moves if moves <= DEPTH else -1) == every_sequence(course)[0]


@pytest.mark.parametrize("seed", range(12))
def test_a_proxy_is_as_far_as_the_shortest_sequence_that_meets_it(seed):
    rows = random_map(seed + 200, "C" + "DMn"[seed % 3])
    course = course_of(rows, used(rows), proxies(rows))
    moves = int(Oracle(grid(course)).moves_to_proxy()[0])
    assert (moves if moves <= DEPTH else -1) == every_sequence(course, target="proxy")[0]


def test_a_proxy_underfoot_counts_once_it_is_left_and_entered_again():
    rows = ["#####", "#SC.#", "#..##", "#####"]
    course = course_of(rows, {"S": [{"kind": "start"}, PIECES["M"]]}, proxies("M"))
    assert Oracle(grid(course)).moves_to_proxy().tolist() == [2]
    assert every_sequence(course, target="proxy", depth=3)[0] == 2


@pytest.mark.parametrize("seed", range(8))
def test_a_way_leads_round_proxies_where_they_end_the_episode(seed):
    rows = random_map(seed + 300, "CDDM")
    course = course_of(rows, used(rows), proxies(rows))
    moves = int(Oracle(grid(course, end_on_proxy=True)).moves()[0])
    assert (moves if moves <= DEPTH else -1) == every_sequence(course, end_on_proxy=True)[0]


@pytest.mark.parametrize("seed", range(16))
def test_blocks_gates_and_fragile_things_are_bounded_from_both_sides(seed):
    rows = random_map(seed + 400, "CLHF" if seed % 2 else "CLLG")
    course = course_of(rows, used(rows))
    oracles = [Oracle(grid(course, weak()), assume) for assume in (Assume.OPEN, Assume.CLOSED)]
    low, high = (int(oracle.moves()[0]) for oracle in oracles)
    moves_found = every_sequence(course, weak())[0]
    if 0 < high <= DEPTH:
        assert 0 < moves_found <= high
    if moves_found > 0:
        assert 0 < low <= moves_found


@pytest.mark.parametrize(("rate", "exact"), [(0.5, True), (0.4, False), (0.7, False)])
def test_ticks_at_reduced_speed_are_exact_for_whole_numbers_and_a_bound_otherwise(rate, exact):
    for seed in range(6):
        course = course_of(random_map(seed + 500, "C", size=5, walls=0.1))
        ticks = int(Oracle(grid(course, slow(rate))).ticks()[0])
        moves_found, best = every_sequence(course, slow(rate), depth=8)
        bound = GAMMA ** (ticks - 1)
        assert moves_found < 0 or ticks <= moves_found
        assert best <= bound * (1 + 1e-6)
        if exact and 0 < ticks <= 8:
            assert moves_found == ticks
            assert best == pytest.approx(bound, rel=1e-6)


def test_the_shortest_path_played_returns_what_the_oracle_says():
    worlds = grid("coin-in-corner", count=64, in_order=True, levels=64, auto_reset=False)
    oracle = Oracle(worlds)
    promised, moves = oracle.optimal_return(GAMMA), oracle.moves()
    paths = [oracle.path(world) for world in range(worlds.count)]
    assert [len(path) for path in paths] == moves.tolist()
    returns = np.zeros(worlds.count)
    for tick in range(max(map(len, paths))):
        worlds.step(np.array([path[tick] if tick < len(path) else 0 for path in paths]))
        returns += GAMMA**tick * worlds.reward
    assert worlds.terminated.all()
    assert returns == pytest.approx(promised, rel=1e-6)


def test_the_path_to_a_chest_goes_by_its_key():
    rows = ["#######", "#k.S.x#", "#######"]
    course = course_of(rows, used(rows), CHESTS)
    assert Oracle(grid(course)).path(0) == [3, 3, 1, 1, 1, 1]


def test_a_goal_beyond_the_horizon_is_worth_nothing():
    course = course_of(["######", "#S..C#", "######"])
    values = [Oracle(grid(course, horizon=ticks)).optimal_return(GAMMA)[0] for ticks in (2, 3)]
    assert values == [0.0, pytest.approx(GAMMA**2)]


def test_a_goal_behind_walls_has_no_way():
    oracle = Oracle(grid(course_of(["######", "#S#C.#", "######"])))
    assert oracle.moves().tolist() == [-1]
    assert oracle.path(0) == []
    assert oracle.optimal_return(GAMMA).tolist() == [0.0]


def test_a_discount_above_one_is_refused():
    oracle = Oracle(grid(course_of(["####", "#SC#", "####"])))
    with pytest.raises(InvalidCommand, match=r"gamma must be from 0 to 1, got 1\.5"):
        oracle.optimal_return(1.5)


def test_a_lasting_goal_that_is_reached_is_none_any_more():
    rows = ["######", "#SM.M#", "######"]
    course = course_of(rows, {"M": PIECES["M"]}, "{goal: {kind: marker}}")
    worlds = grid(course)
    assert Oracle(worlds).moves().tolist() == [1]
    worlds.step(np.array([1]))
    assert worlds.reward.tolist() == [1.0]
    assert Oracle(worlds).moves().tolist() == [2]
