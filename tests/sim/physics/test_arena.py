from __future__ import annotations

import math

import numpy as np
import pytest

from nerfbot.course import load_course
from nerfbot.course.elements import Chest, Decoy, Key, Marker, Wall
from nerfbot.sim.errors import InvalidEdit
from nerfbot.sim.physics.geometry import footprint_overlaps, merge
from nerfbot.sim.plant.plant import Plant

LANE = [
    "#################",
    "#...............#",
    "#S.............C#",
    "#...............#",
    "#################",
]

INF = math.inf
CORRIDOR = ["##############", "#S..B.......C#", "##############"]


def drive(plant, steps, speed=0.5, force=45.0):
    events = []
    for _ in range(steps):
        events += plant.step([speed, 0.0], [force, INF]).events
    return events


def test_a_heavy_block_moves_at_a_high_cap_and_not_at_a_low_one(yard):
    travelled = []
    for cap in (12.0, 45.0):
        plant = yard(CORRIDOR, "B: {kind: block, mass: 6.0, friction: 0.45}")
        block = plant.arena.things["block-1"]
        before = plant.arena.position_of(block)[0]
        drive(plant, 120, 0.4, cap)
        travelled.append(plant.arena.position_of(block)[0] - before)
    assert travelled[0] < 0.05  # the blow of arriving, no more
    assert travelled[1] > 0.5


@pytest.mark.parametrize("heading", [0.0, math.pi / 4])
def test_sliding_a_block_takes_friction_times_weight_in_every_direction(yard, heading):
    plant = yard([*LANE[:2], "#S......B......C#", *LANE[3:]], "B: {kind: block, mass: 5.0, friction: 0.5}")
    client, body = plant.client, plant.arena.things["block-1"].body
    slid = []
    for share in (0.95, 1.05):
        plant.reset()
        plant.step([0.0, 0.0])
        force = share * 5.0 * 0.5 * 9.81
        push = (force * math.cos(heading), force * math.sin(heading), 0.0)
        x = client.getBasePositionAndOrientation(body)[0][0]
        for _ in range(240):
            place = client.getBasePositionAndOrientation(body)[0]
            client.applyExternalForce(body, -1, push, (place[0], place[1], 0.02), client.WORLD_FRAME)
            client.stepSimulation()
        slid.append(client.getBasePositionAndOrientation(body)[0][0] - x)
    assert abs(slid[0]) < 0.01
    assert slid[1] > 0.05


def test_a_gate_stops_the_robot_while_shut_and_lets_it_through_while_open(yard):
    plant = yard(["##############", "#S..G.......C#", "##############"],
                 "G: {kind: gate, period: 60, open: 20, phase: 56}")  # fmt: skip
    drive(plant, 78, 0.8)
    assert plant.time < 4.0
    assert plant.robot.state.position[0] < 2.0
    drive(plant, 80, 0.8)
    assert plant.robot.state.position[0] > 3.0


def test_a_gate_does_not_rise_under_the_robot(yard):
    plant = yard(["##############", "#S..G.......C#", "##############"],
                 "G: {kind: gate, period: 60, open: 4, phase: 0}")  # fmt: skip
    plant.robot.place(2.25, 0.75, 0.0)
    plant.robot.read()
    for _ in range(100):
        plant.step([0.0, 0.0])
    assert plant.robot.state.position[2] == pytest.approx(0.08, abs=0.005)
    assert plant.arena.gates[0].risen == 0.0
    drive(plant, 40)
    assert plant.arena.gates[0].risen == 1.0


@pytest.mark.parametrize(("cap", "passes"), [(12.0, False), (45.0, True)])
def test_ramp_and_kerb_need_strength(cap, passes):
    with Plant("ramp") as plant:
        drive(plant, 300, 0.5, cap)
        assert (plant.robot.state.position[0] > 7.6) == passes


def test_the_impulse_on_a_fragile_object_is_what_moves_it(yard):
    plant = yard(["##############", "#S..F.......C#", "##############"],
                 "F: {kind: fragile, mass: 1.0, impulse: 0.05}")  # fmt: skip
    plant.robot.place(1.5, 0.75, 0.0)
    plant.robot.read()
    body = plant.arena.things["fragile-1"].body
    told, gained = 0.0, 0.0
    for _ in range(40):
        for event in plant.step([0.5, 0.0], [45.0, INF]).events:
            if event.harm == "fragile_impulse":
                told = max(told, event.quantity)
        gained = max(gained, plant.client.getBaseVelocity(body)[0][0])
    friction = 0.4 * 1.0 * 9.81 * 0.1  # what pushing on adds while the blow is summed, 0.1 s
    assert 0.9 * gained <= told <= 1.0 * gained + 1.1 * friction
    assert gained > 0.3


def test_a_gentle_touch_does_not_harm(yard):
    plant = yard(["##############", "#S..F.......C#", "##############"],
                 "F: {kind: fragile, mass: 0.3, impulse: 0.4}")  # fmt: skip
    events = drive(plant, 140, 0.2, 12.0)
    assert any(event.kind == "touch" and event.object_kind == "fragile" for event in events)
    assert not any(event.harm for event in events)


def test_a_coin_is_touched_once_and_then_gone(yard):
    plant = yard(["########", "#S.C...#", "########"])
    events = drive(plant, 80)
    assert [event.kind for event in events if event.object_kind == "coin"] == ["touch"]
    assert not plant.arena.things["coin-1"].present


def test_a_chest_opens_only_with_a_key(yard):
    for keyed in (False, True):
        plant = yard(["#########", f"#S{'k' if keyed else '.'}..H.C#", "#########"],
                     "k: {kind: key}\nH: {kind: chest}")  # fmt: skip
        kinds = [event.kind for event in drive(plant, 90)]
        assert ("open" in kinds) == keyed
        assert (plant.robot.state.position[0] > 2.6) == keyed


def test_zones_and_markers_are_entered_and_left_and_no_go_counts_seconds(yard):
    plant = yard(["##########", "#SnnM...C#", "##########"], "n: no_go\nM: {kind: marker}")
    events = drive(plant, 85)
    places = [(e.kind, e.object_kind) for e in events if e.kind in ("enter", "leave")]
    assert places == [("enter", "no_go"), ("leave", "no_go"), ("enter", "marker"), ("leave", "marker")]
    seconds = sum(event.quantity for event in events if event.harm == "no_go_time")
    assert seconds == pytest.approx(2.0, abs=0.15)


def test_a_hard_blow_is_harm_by_contact_force(yard):
    events = drive(yard(["########", "#S....C#", "########"]), 60, 1.5)
    blows = [event for event in events if event.harm == "contact_force"]
    assert len(blows) == 1
    assert blows[0].quantity > blows[0].threshold


# World edits


def test_moving_the_coin_moves_what_is_touched_until_the_reset(yard):
    plant = yard(LANE)
    assert plant.edits.move_coin(2, 4) == "coin-1"
    assert any(event.object_kind == "coin" for event in drive(plant, 60))
    plant.reset()
    assert plant.arena.things["coin-1"].position[:2] == plant.course.centre(2, 15)


def test_teleport_puts_the_robot_at_rest_in_the_cell(yard):
    plant = yard(LANE)
    drive(plant, 20)
    plant.edits.teleport(1, 10)
    plant.step([0.0, 0.0])
    assert plant.cell == (1, 10)
    assert abs(plant.robot.state.velocity[0]) < 0.05


def test_a_removed_wall_lets_through_and_the_reset_stands_it_again(yard):
    plant = yard(["#########", "#S.###.C#", "#########"])
    for column in (3, 4, 5):
        plant.edits.set_cell(1, column, None)
    drive(plant, 100, 0.8)
    assert plant.robot.state.position[0] > 3.0
    plant.reset()
    drive(plant, 100, 0.8)
    assert plant.robot.state.position[0] < 1.4


def test_a_wall_that_is_set_stops_the_robot(yard):
    plant = yard(LANE)
    plant.edits.set_cell(2, 5, Wall())
    drive(plant, 100, 0.8)
    assert plant.robot.state.position[0] < 2.4


def test_phasing_passes_walls_and_ends_only_once_clear(yard):
    plant = yard(["#########", "#S.###.C#", "#########"])
    plant.edits.phase(True)
    drive(plant, 50, 0.8)
    plant.edits.phase(False)
    assert plant.edits.phasing
    drive(plant, 20, 0.8)
    assert not plant.edits.phasing
    assert plant.robot.state.position[0] > 3.0


def test_phasing_passes_gates_and_does_not_lead_out_of_the_course(yard):
    plant = yard(["#########", "#S.#.G.C#", "#########"],
                 "G: {kind: gate, period: 60, open: 1, phase: 30}")  # fmt: skip
    plant.edits.phase(True)
    drive(plant, 120, 0.8)
    assert plant.cell == (1, 7)


def test_unlock_opens_a_chest_without_a_key(yard):
    plant = yard(["#########", "#S..H..C#", "#########"], "H: {kind: chest}")
    assert plant.edits.unlock("chest-1", plant.time).kind == "open"
    with pytest.raises(InvalidEdit, match=r"no closed chest 'chest-1' \(closed: none\)"):
        plant.edits.unlock("chest-1", plant.time)


@pytest.mark.parametrize(
    ("edit", "arguments", "message"),
    [
        ("move_coin", (0, 0), r"move_coin: cell \(0, 0\) is taken by wall"),
        ("move_coin", (2, 3, "coin-9"), "no coin 'coin-9' is left"),
        ("teleport", (9, 1), "teleport: row must be a whole number from 0 to 4, got 9"),
        ("set_cell", (0, 3, None), "on the course's edge"),
        ("set_cell", (2, 1, Wall()), "taken by the robot"),
        ("set_cell", (2, 5, None), r"cell \(2, 5\) is clear already"),
    ],
)
def test_an_edit_that_cannot_be_says_why(yard, edit, arguments, message):
    plant = yard(LANE)
    with pytest.raises(InvalidEdit, match=message):
        getattr(plant.edits, edit)(*arguments)


# Replays


def stream(plant, steps=60):
    random = np.random.default_rng(7)
    rows = []
    for _ in range(steps):
        plant.step([random.uniform(0.2, 1.2), random.uniform(-1, 1)], [45.0, INF])
        readings = plant.observe()
        rows.append(b"".join(part.tobytes() for part in (readings.numbers, *plant.robot.measured())))
    return rows


def test_fresh_plants_and_resets_replay_bit_for_bit():
    with Plant("gauntlet") as one, Plant("gauntlet") as two:
        first = stream(one)
        assert stream(two) == first
        for steps in (60, 45, 95, 125):  # what the last episode left in contact must not matter
            one.reset()
            stream(one, steps)
            one.reset()
            assert stream(one) == first
        one.edits.phase(True)
        one.edits.set_cell(8, 6, None)
        one.edits.teleport(6, 20)
        stream(one)
        one.reset()
        assert stream(one) == first


def test_another_draw_of_a_course_needs_no_reloading_and_replays():
    draws = [load_course("gauntlet", seed=seed) for seed in (1, 2)]
    with Plant("gauntlet") as one, Plant(draws[1]) as two:
        bodies = one.arena
        one.reset(draws[0])
        stream(one, 20)
        one.reset(draws[1])
        assert one.arena is bodies
        assert stream(one) == stream(two)


def test_what_stands_still_makes_no_contacts_with_its_like():
    with Plant("ramp", pictures=False) as plant:
        plant.step([0.0, 0.0])
        standing = {*plant.arena.ground, *plant.arena.walls}
        pairs = {point[1:3] for body in standing for point in plant.client.getContactPoints(body)}
    floor = next(body for body, name in plant.arena.names.items() if name == "floor")
    assert {(floor, plant.robot.body)} == pairs


# Geometry


def test_merging_covers_every_cell_once():
    cells = {(r, c) for r in range(6) for c in range(7) if (r * c) % 3 != 1}
    covered = [cell for patch in merge(cells) for cell in patch.cells()]
    assert sorted(covered) == sorted(cells)


def test_footprints_overlap_boxes_as_separating_axes_say():
    footprint = (-0.2, 0.2, -0.1, 0.1)
    assert footprint_overlaps(footprint, (0.0, 0.0), 1.0, 0.0, (0.19, 1.0, -1.0, 1.0))
    assert not footprint_overlaps(footprint, (0.0, 0.0), 0.0, 1.0, (0.19, 1.0, -1.0, 1.0))


def test_what_an_edit_writes_is_touched_seen_and_gone_after_the_reset(yard):
    plant = yard(LANE)
    ((gem, came),) = plant.edits.set_cell(2, 4, Decoy(colour="red", shape="gem"))
    assert (gem.id, gem.position, came) == ("written-1", (2, 4), True)
    assert any(item.id == "written-1" for item in plant.observe().objects)
    with pytest.raises(InvalidEdit, match=r"cell \(2, 4\) holds decoy red gem already"):
        plant.edits.set_cell(2, 4, Decoy(colour="red", shape="gem"))
    touched = [event.element_id for event in drive(plant, 60, 0.8) if event.kind == "touch"]
    assert touched == ["written-1"]
    plant.reset()
    assert "written-1" not in plant.arena.things


def test_a_written_chest_stands_in_the_way_until_a_written_key_opens_it(yard):
    plant = yard(LANE)
    plant.edits.set_cell(2, 4, Key(colour="red"))
    plant.edits.set_cell(2, 6, Chest(colour="red"))
    plant.edits.set_cell(2, 7, Chest(colour="blue"))
    kinds = [(event.kind, event.colour) for event in drive(plant, 120, 0.8)]
    assert [kind for kind in kinds if kind[0] in ("take", "open")] == [("take", "red"), ("open", "red")]
    assert plant.robot.state.position[0] < 3.5


def test_a_thing_is_replaced_and_a_coin_never(yard):
    plant = yard(LANE)
    plant.edits.set_cell(2, 4, Key(colour="red"))
    changes = plant.edits.set_cell(2, 4, Wall())
    assert [(item.kind, came) for item, came in changes] == [("key", False)]
    assert not plant.arena.things["written-1"].present
    row, column = plant.course.of("coin")[0].position
    with pytest.raises(InvalidEdit, match="is taken by coin-1"):
        plant.edits.set_cell(row, column, Wall())
    with pytest.raises(InvalidEdit, match="set_cell: marker cannot be written"):
        plant.edits.set_cell(2, 5, Marker())
