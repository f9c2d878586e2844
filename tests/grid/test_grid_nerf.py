"""What a specification means on the grid: the numbers an episode goes by, and what is said of the others."""

from __future__ import annotations

import numpy as np
import pytest

from nerfbot.course.capability import Capability
from nerfbot.errors import InvalidSpec
from nerfbot.grid.grid_nerf import DRAWS, UNLIMITED, GridNerf
from nerfbot.grid.kernels.state import (
    DROP_RATE,
    DROP_TIME,
    GAIN,
    HOLD_RATE,
    LATENCY,
    NO_LOAD,
    PUSH,
    RATE,
    SIGHT,
    STALL,
)
from nerfbot.limits import AXES, NerfSpec
from tests.grid.plants import course_of, grid, play, spec_of

EAST = 1


def test_a_tick_is_the_time_in_which_a_lifted_agent_crosses_a_cell():
    assert GridNerf.of(NerfSpec.load("none"), 0.5).tick == 0.5 / 1.0
    weak = GridNerf.of(NerfSpec.load("rover-weak"), 0.5)
    assert (weak.top_speed, weak.tick) == (1.2, 0.5 / 1.2)
    bounded = NerfSpec.parse(
        {"name": "e", "envelope": {"channels": {"linear.x": {"max_velocity": 2.0, "max_acceleration": 1.0}}}}
    )
    assert GridNerf.of(bounded, 1.0).tick == 0.5


def test_the_table_holds_what_the_specification_says():
    table = GridNerf.of(NerfSpec.load("rover-weak"), 0.5).table
    assert table.shape[0] == 1
    expected = {
        RATE: (0.4 / 1.2, 1.0),
        GAIN: (1.0, 1.0),
        NO_LOAD: (UNLIMITED / 1.2, UNLIMITED / 1.2),
        PUSH: (17.0, 45.0),
        STALL: (UNLIMITED, UNLIMITED),
        LATENCY: (0.1, 0.0),
        DROP_RATE: (0.1, 0.0),
        DROP_TIME: (0.2, 0.2),
        HOLD_RATE: (0.05, 0.0),
        SIGHT: (1.2, 8.0),
    }
    for column, ends in expected.items():
        assert table[0, column] == pytest.approx(ends), column


@pytest.mark.parametrize(
    "name", [name for name in NerfSpec.presets() if name.startswith("rover") or name == "none"]
)
def test_push_and_sight_are_those_that_the_solver_knows(name):
    nerf = GridNerf.of(NerfSpec.load(name), 0.5)
    if len(nerf.table) > 1:
        nerf.table[:] = nerf.table.mean(axis=0)
        tolerance = 0.1
    else:
        tolerance = 1e-9
    for level in (0.0, 1.0):
        able = Capability.from_spec(nerf.spec, dict.fromkeys(AXES, level))
        end = int(level)
        assert nerf.table[0, PUSH, end] == pytest.approx(min(able.push, UNLIMITED), rel=tolerance)
        sight = nerf.table[0, SIGHT:, end].max()
        assert sight == pytest.approx(min(able.sight, UNLIMITED), rel=tolerance)


def test_jitter_counts_half():
    spec = spec_of(command={"latency": 1.0, "jitter": 3.0})
    assert GridNerf.of(spec, 1.0).table[0, LATENCY].tolist() == [2.5, 0.0]


def test_a_latency_that_the_grid_cannot_hold_is_an_error():
    spec = spec_of(command={"latency": 3.0, "jitter": 0.2})
    assert GridNerf.of(spec, 0.2).tick == 0.2
    with pytest.raises(InvalidSpec, match=r"^test: command: .* = 3\.1 s: must be at most 20 ticks of 0\.1 s"):
        GridNerf.of(spec, 0.1)


def test_drawn_limits_lie_in_their_range_and_episodes_use_different_ones():
    spec = spec_of(
        velocity={"nerfed": {"uniform": [0.2, 0.6]}, "lifted": 1.0},
        effort={"nerfed": {"choice": [5.0, 10.0]}, "lifted": 40.0},
    )
    table = GridNerf.of(spec, 1.0, seed=3).table
    assert len(table) == DRAWS
    slow = table[:, RATE, 0]
    assert slow.min() >= 0.2
    assert slow.max() <= 0.6
    assert slow.mean() == pytest.approx(0.4, abs=0.03)
    assert set(table[:, PUSH, 0]) == {5.0, 10.0}
    assert (table[:, RATE, 1] == 1.0).all()
    worlds = grid(course_of(["#####", "#S.C#", "#####"]), spec, count=512, seed=1)
    play(worlds, EAST)
    assert len(np.unique(worlds.vector[:, 0])) > 100
    assert 0.2 <= worlds.vector[:, 0].min() <= worlds.vector[:, 0].max() <= np.float32(0.6)


def test_the_same_seed_draws_the_same_table_and_one_limit_more_moves_no_other():
    drawn = {"nerfed": {"uniform": [0.2, 0.6]}, "lifted": 1.0}
    one = GridNerf.of(spec_of(velocity=drawn), 1.0, seed=3).table
    assert (GridNerf.of(spec_of(velocity=drawn), 1.0, seed=3).table == one).all()
    assert (GridNerf.of(spec_of(velocity=drawn), 1.0, seed=4).table != one).any()
    ranges = {
        name: {"range": {"nerfed": {"uniform": [1.0, 2.0]}, "lifted": 5.0}} for name in ("objects", "lidar")
    }
    few = GridNerf.of(spec_of(velocity=drawn, sensors={"objects": ranges["objects"]}), 1.0, seed=3).table
    many = GridNerf.of(
        spec_of(
            velocity=drawn,
            gain={"nerfed": {"uniform": [0.5, 0.9]}, "lifted": 1.0},
            command={"latency": {"nerfed": {"uniform": [0.0, 1.0]}, "lifted": 0.0}},
            sensors=dict(reversed(ranges.items())),
        ),
        1.0,
        seed=3,
    ).table
    assert (many[:, RATE] == one[:, RATE]).all()
    assert (few[:, RATE] == one[:, RATE]).all()
    assert (many[:, SIGHT + 1] == few[:, SIGHT]).all(), "the same sensor, wherever it stands in the file"


def test_the_report_says_of_every_limit_whether_it_is_enforced():
    spec = NerfSpec.parse(
        {
            "name": "test",
            "channels": {
                "linear.x": {
                    "velocity": {"nerfed": 0.4, "lifted": 1.0},
                    "dead_band": 0.02,
                    "hold": {"rate": 0.1, "duration": 0.5, "spread": "fixed"},
                },
                "angular.z": {"velocity": {"nerfed": 0.5, "lifted": 2.0}},
            },
            "command": {"latency": 0.1},
            "sensors": {"lidar": {"range": {"nerfed": 1.0, "lifted": 8.0}, "noise": 0.1}},
        }
    )
    report = {item.name: item for item in GridNerf.of(spec, 0.5).report}
    assert {name: bool(item.problem) for name, item in report.items()} == {
        "linear.x.velocity": False,
        "linear.x.hold.rate": False,
        "linear.x.hold.duration": False,
        "linear.x.dead_band": True,
        "angular.z.velocity": True,
        "command.latency": False,
        "lidar.range": False,
        "lidar.noise": True,
    }
    assert report["command.latency"].note == "to whole ticks"
    assert "exponential" in report["linear.x.hold.duration"].note
    with pytest.raises(InvalidSpec, match=r"dead_band"):
        GridNerf.of(spec, 0.5, allow=["angular.z.velocity", "lidar.noise"])
    allowed = ["angular.z.velocity", "lidar.noise", "linear.x.dead_band"]
    assert GridNerf.of(spec, 0.5, allow=allowed).tick == 0.5


def test_a_channel_that_a_twist_does_not_have_is_an_error():
    spec = NerfSpec.parse({"name": "arm", "channels": {"elbow": {"dead_band": 0.1}}})
    with pytest.raises(InvalidSpec, match="elbow"):
        GridNerf.of(spec, 0.5)


def test_more_ranges_than_the_grid_tells_apart_are_an_error():
    ranges = {f"s{n}": {"range": {"nerfed": 1.0 + n, "lifted": 9.0}} for n in range(5)}
    with pytest.raises(InvalidSpec, match=r"4 ranges apart, got 5"):
        GridNerf.of(spec_of(sensors=ranges), 1.0)
