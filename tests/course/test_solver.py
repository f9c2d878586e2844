"""The solver against hand-made courses, against the catalogue's claims, and against brute force."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest

from nerfbot.course import catalogue, load_plan, parse
from nerfbot.course.capability import ROVER, Abilities, Capability
from nerfbot.course.search import Search, Views
from nerfbot.course.solver import solve
from nerfbot.errors import InvalidSpec
from nerfbot.limits.spec import NerfSpec

NERFED = Capability(push=12.0, speed=0.5, sight=1.2)
LIFTED = Capability(push=45.0, speed=1.0, sight=8.0, sensing=1.0, reliability=1.0)
ABILITIES = Abilities(NERFED, LIFTED)


def course_text(rows: str, horizon: float = 30.0, needs: str = "[]", extra: str = "") -> str:
    """A course of cells of 0.5 m whose corridor holds whatever `rows` say."""
    lines = "\n".join(f"  {line}" for line in rows.split())
    return f"""\
name: made
needs: {needs}
legend:
  "#": wall
  S: start
  C: coin
  B: {{kind: block, mass: 6.0, friction: 0.45}}
  L: {{kind: block, mass: 1.0, friction: 0.45}}
  G: {{kind: gate, period: 10, open: 2.5, phase: 5}}
  i: {{kind: interference, loss: 0.9}}
  f: {{kind: fragile, mass: 1, impulse: 1}}
  n: no_go
  u: {{kind: ramp, height: 0.15, direction: east}}
  d: {{kind: ramp, height: 0.15, direction: west}}
  t: {{kind: step, height: 0.15}}
  k: key
  x: chest
  P: {{kind: marker, shape: finish_pad}}
map: |
{lines}
task:
  goal: {{kind: coin}}
  horizon: {horizon}
{extra}"""


def opening_once(text: str) -> str:
    """The same course with gates that open once, from 5 s to 7.5 s."""
    return text.replace("period: 10, open: 2.5, phase: 5", "period: 1000, open: 2.5, phase: 995")


def arrival(rows: str, able: Capability = LIFTED, horizon: float = 30.0) -> float:
    """Earliest time at the coin, s; infinite where it is out of reach."""
    course = parse(course_text(rows, horizon)).draw()
    goal = course.of("coin")[0].position
    return Search(course, able, frozenset([goal])).run(frozenset([goal])).arrival.get(goal, math.inf)


@pytest.mark.parametrize("name", catalogue())
def test_every_claim_of_the_catalogue_is_proved(name: str) -> None:
    report = solve(load_plan(name), Abilities.from_spec(NerfSpec.load("rover-weak")))
    assert report.failures == ()
    assert all(goal.lifted.passes and not goal.undecided for goal in report.goals)
    assert all(item.exists and item.together_in_training for item in report.distinctions)


def test_a_straight_corridor_takes_its_length_over_the_speed() -> None:
    assert arrival("####### #S...C# #######") == pytest.approx(2.0)
    assert arrival("####### #S...C# #######", NERFED) == pytest.approx(4.0)
    assert arrival("####### #S...C# #######", NERFED, horizon=3.9) == math.inf


def test_diagonal_moves_never_cut_a_corner() -> None:
    assert arrival("##### #S..# #.#.# #..C# #####") == pytest.approx(2.0)
    assert arrival("##### #S..# #...# #..C# #####") == pytest.approx(math.sqrt(2.0))


def test_a_heavy_block_yields_to_strength_and_a_light_one_to_anyone() -> None:
    room = "######### ####....# #S{}....C# ####....# #########"
    assert arrival(room.format("B"), NERFED) == math.inf
    assert arrival(room.format("B")) < math.inf
    assert arrival(room.format("L"), NERFED) < math.inf


def test_a_block_without_room_behind_it_stays() -> None:
    assert arrival("####### #SL#.C# #######") == math.inf
    assert arrival("####### #SLLC.# #######") == math.inf


def test_a_gate_is_waited_for_and_never_shuts_on_the_body() -> None:
    # It opens at 5 s for 2.5 s, every 10 s. The body's front waits 0.05 m before the edge of its own cell.
    assert arrival("###### #SG.C# ######") == pytest.approx(5.0 - 0.05 + 1.5)
    long = "######### #SGGGGC## #########"
    assert arrival(long, dataclasses.replace(LIFTED, speed=1.0)) == pytest.approx(5.0 - 0.05 + 2.5)
    # Slower: in the second gate's cell when the third shuts; it waits there for the next opening.
    slow = 5.0 + 10.0 + (0.45 + 0.5 + 0.5) / 0.25
    assert arrival(long, dataclasses.replace(LIFTED, speed=0.25)) == pytest.approx(slow)


def test_a_gate_that_opens_once_shuts_out_whoever_is_too_slow_for_the_next() -> None:
    course = parse(opening_once(course_text("######### #SGGGGC## #########"))).draw()
    goal = frozenset([course.of("coin")[0].position])
    fast, slow = (Search(course, dataclasses.replace(LIFTED, speed=v), goal).run(goal) for v in (1.0, 0.4))
    assert fast.arrival
    assert not slow.arrival


@pytest.mark.parametrize(
    ("name", "rows", "reached"),
    [
        ("gate, then a low ramp", "######## #SG.r.C# ########", True),
        ("gate at the foot of a low ramp", "######## #S.Gr.C# ########", True),
        ("gate, then a low step", "####### #SGhhC# #######", True),
        ("gate, then a light block", "####### #SGL..# ####C## #######", True),
        ("gate at a bend", "##### #SG## ##.C# #####", True),
        ("a drop deeper than a wheel before a gate", "####### #SEG.C# #######", False),
        ("a drop deeper than a wheel before a block", "####### #SEL..# ####C## #######", False),
        ("a drop deeper than a wheel before the floor", "####### #SE..C# #######", False),
    ],
)
def test_every_way_into_a_cell_asks_for_the_same(name: str, rows: str, reached: bool) -> None:
    text = course_text(rows, horizon=60.0).replace(
        "map:",
        """\
  r: {kind: ramp, height: 0.04, direction: east}
  E: {kind: ramp, height: 0.3, direction: east}
  h: {kind: step, height: 0.02}
map:""",
        1,
    )
    course = parse(text).draw()
    goal = frozenset([course.of("coin")[0].position])
    assert bool(Search(course, LIFTED, goal).run(goal).arrival) is reached


@pytest.mark.parametrize("rows", ["####### #SG.xk# #######", "####### #SGxk.# #######"])
def test_a_chest_behind_a_gate_needs_its_key_all_the_same(rows: str) -> None:
    text = course_text(rows).replace("goal: {kind: coin}", "goal: {kind: chest}")
    course = parse(text).draw()
    chest = frozenset([course.of("chest")[0].position])
    assert not Search(course, LIFTED, chest).run(chest, key="yellow").arrival


def test_interference_slows_by_the_share_of_commands_lost() -> None:
    rows = "####### #Si.iC# #######"
    unreliable = dataclasses.replace(LIFTED, reliability=0.0)
    assert arrival(rows) == pytest.approx(2.0)
    assert arrival(rows, unreliable) == pytest.approx(1.0 + 10.0)
    assert arrival(rows, dataclasses.replace(LIFTED, loss=0.5)) == pytest.approx(4.0)


def test_fragile_objects_and_no_go_zones_are_gone_round() -> None:
    assert arrival("##### #SfC# ##### #####") == math.inf
    assert arrival("##### #SnC# #...# #####") == pytest.approx(2.0)


def test_a_ramp_asks_for_the_force_of_its_slope() -> None:
    rows = "######## #SutdC## ########"
    force = ROVER.mass * 9.81 * 0.15 / math.hypot(0.15, 0.5)
    assert arrival(rows, dataclasses.replace(LIFTED, push=force + 0.01)) < math.inf
    assert arrival(rows, dataclasses.replace(LIFTED, push=force - 0.01)) == math.inf
    assert arrival("####### #StC..# #######") == math.inf  # a slab higher than the axle


def test_a_step_asks_for_more_the_higher_it_is() -> None:
    forces = [LIFTED.step_force(height) for height in (0.0, 0.005, 0.01, 0.04, 0.0799)]
    assert forces == sorted(forces)
    assert forces[0] == 0.0
    assert LIFTED.step_force(0.08) == math.inf


def test_a_chest_opens_only_after_its_key() -> None:
    text = course_text("####### #S.x..# #.k.C.# #######").replace("goal: {kind: coin}", "goal: {kind: chest}")
    course = parse(text).draw()
    chest = course.of("chest")[0].position
    search = Search(course, LIFTED, frozenset([chest]))
    through_key = math.sqrt(2.0) * 0.5 * 2.0
    times = search.run(frozenset([chest]), key="yellow").arrival
    assert times[chest] == pytest.approx(through_key, abs=0.6)
    assert times[chest] > search.run(frozenset([chest])).arrival[chest]
    assert not search.run(frozenset([chest]), key="red").arrival


def test_a_false_claim_is_refuted_and_says_what_was_found() -> None:
    rows = "######### ####....# #SB....C# ####....# #########"
    report = solve(parse(course_text(rows, needs="[speed]")), ABILITIES)
    assert not report.holds
    assert "needs speed claimed, strength found" in report.failures[0]
    assert solve(parse(course_text(rows, needs="[strength]")), ABILITIES).holds
    assert not solve(parse(course_text(rows)), ABILITIES).holds


def test_a_goal_beyond_every_lift_is_a_failure() -> None:
    report = solve(parse(course_text("###### #S#.C# ######")), ABILITIES)
    assert report.failures == ("no goal is in reach with every axis lifted",)


def test_either_of_two_ways_gives_two_smallest_sets() -> None:
    rows = "########### #..GGGG...# #S#######C# #.##....#.# #..B......# #.##....### ###########"
    (goal,) = solve(parse(opening_once(course_text(rows))), ABILITIES).goals
    assert set(goal.minimal) == {("strength",), ("speed",)}


def test_a_proxy_that_always_holds_the_goal_is_reported() -> None:
    extra = "drawn:\n  - {kind: coin, among: P}\n"
    text = course_text("##### #S.P# ##### ", extra=extra)
    text = text.replace("  horizon", "  proxies: [{kind: marker}]\n  horizon")
    report = solve(parse(text), ABILITIES)
    assert report.failures == ("proxy marker: never apart from the goal",)
    apart = text.replace("among: P", "among: P.")
    assert solve(parse(apart), dataclasses.replace(ABILITIES, nerfed=LIFTED)).holds


HALL = "########### #c...c...c# #.........# #....S....# #.........# #c...c...c# ###########"


def brute_force(speed: float, horizon: float) -> int:
    """The most places visited in time, over every order of visiting them on an empty floor."""
    course = parse(hall(horizon)).draw()
    places = sorted(load_places())

    def octile(one: tuple[int, int], two: tuple[int, int]) -> float:
        down, right = abs(one[0] - two[0]), abs(one[1] - two[1])
        return 0.5 * (max(down, right) + (math.sqrt(2.0) - 1.0) * min(down, right))

    best = 0
    for order in itertools.permutations(places):
        here, time = course.start_cell, 0.0
        for number, place in enumerate(order, start=1):
            time += octile(here, place) / speed
            if time > horizon + 1e-9:
                break
            here, best = place, max(best, number)
    return best


def hall(horizon: float) -> str:
    text = course_text(HALL.replace("c", "p"), horizon, extra="drawn:\n  - {kind: coin, among: p}\n")
    return text.replace("legend:\n", "legend:\n  p: floor\n")


def load_places() -> set[tuple[int, int]]:
    return set(parse(hall(10.0)).drawn[0].test.cells)


@pytest.mark.parametrize("horizon", [2.0, 3.5, 5.0, 7.0, 9.0])
def test_looking_for_a_drawn_goal_agrees_with_brute_force(horizon: float) -> None:
    course = parse(hall(horizon)).draw()
    places = tuple(sorted(load_places()))
    able = Capability(push=1.0, speed=1.0, sight=0.4)  # a place is seen from its own cell only
    found = Search(course, able, frozenset(places)).explore(places, enough=6).observed
    assert found == brute_force(1.0, horizon)


def test_pruning_by_what_is_asked_for_changes_no_verdict() -> None:
    course = parse(hall(5.0)).draw()
    places = tuple(sorted(load_places()))
    search = Search(course, Capability(push=1.0, speed=1.0, sight=0.4), frozenset(places))
    exact = search.explore(places, enough=6).observed
    for enough in range(1, 7):
        assert (search.explore(places, enough, enough).observed >= enough) == (exact >= enough)


def test_walls_hide_a_place_and_fog_shortens_sight() -> None:
    far = Capability(push=1.0, speed=0.001, sight=8.0, sensing=0.0)
    text = hall(20000.0)
    places = tuple(sorted(load_places()))
    assert Search(parse(text).draw(), far, frozenset(places)).explore(places, 6).observed == 6
    foggy = text.replace("p: floor", "p: {kind: fog, visibility: 0.4}").replace(
        "horizon: 20000.0", "horizon: 50"
    )
    assert Search(parse(foggy).draw(), far, frozenset(places)).explore(places, 6).observed == 0


@pytest.mark.parametrize(
    ("column", "level", "in_sight"),
    [
        (1, 0.0, 3),  # 0.75 m to the fog and 0.8 m into it
        (1, 0.1, 4),  # 0.72 m more
        (1, 1.0, 7),
        (3, 0.0, 1),  # in the fog, and not out of it
        (5, 0.0, 3),  # behind it
    ],
)
def test_a_line_of_sight_ends_its_visibility_after_it_has_entered_fog(
    column: int, level: float, in_sight: int
) -> None:
    text = course_text("########## #S.nn...C# ##########").replace("no_go", "{kind: fog, visibility: 0.8}")
    places = tuple((1, place) for place in range(column + 1, 9))
    able = Capability(push=1.0, speed=1.0, sight=8.0, sensing=level)
    assert Views(parse(text).draw(), able, places).at((1, column)) == tuple(range(in_sight))


def test_a_search_beyond_its_bound_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nerfbot.course.search.MAX_STATES", 2)
    report = solve(parse(course_text("####### #S...C# #######")), ABILITIES)
    assert any("undecided" in failure for failure in report.failures)


def test_capability_follows_the_spec_axis_by_axis() -> None:
    spec = NerfSpec.load("rover-weak")
    both = Abilities.from_spec(spec)
    for axes in ((), ("strength",), ("speed",), ("sensing",), ("strength", "sensing", "reliability")):
        assert both.at(axes) == Capability.from_spec(spec, dict.fromkeys(axes, 1.0))
    assert (both.nerfed.push, both.lifted.push) == (17.0, 45.0)
    assert (both.nerfed.sight, both.lifted.sight) == (1.2, 8.0)
    assert 0.0 < both.nerfed.loss < 0.05


@pytest.mark.parametrize("lift", [{"strenght": 1.0}, {"speed": 1.5}, {"speed": math.nan}])
def test_a_lift_that_is_none_is_refused(lift: dict[str, float]) -> None:
    with pytest.raises(InvalidSpec, match="lift"):
        Capability.from_spec(NerfSpec.load("rover-weak"), lift)
