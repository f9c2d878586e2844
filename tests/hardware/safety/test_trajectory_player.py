"""A trajectory is followed within the nerf, scaled in time or refused, and ended by every stop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from nerfbot.errors import InvalidCommand
from nerfbot.hardware.safety.command_filter import CommandFilter
from nerfbot.hardware.safety.permit import PermitSource
from nerfbot.hardware.safety.trajectory_player import (
    GOAL_TOLERANCE,
    INVALID,
    PATH_TOLERANCE,
    REPLACED,
    STOPPED,
    SUCCEEDED,
    Tolerances,
    TrajectoryPlayer,
)
from nerfbot.limits import Channel, ChannelEnvelope, Envelope, Measured, NerfSpec

ARM = (Channel("shoulder", "position", "rad"), Channel("elbow", "position", "rad"))
HARD = ChannelEnvelope(
    min_position=-3.0,
    max_position=3.0,
    max_velocity=2.0,
    max_acceleration=10.0,
    stop_deceleration=10.0,
    max_effort=20.0,
)
SLOW = {"*": {"velocity": {"nerfed": 0.3, "lifted": 2.0}}}
ANY = np.full(2, math.inf)
TICK = 0.02


class Arm:
    """An arm that follows its commands at once, or stands still where it is `stuck`."""

    def __init__(self, choice: str = "scale", channels: Any = SLOW, **command: Any) -> None:
        spec = NerfSpec.parse({"name": "n", "channels": channels, "command": command})
        envelope = Envelope(channels={"*": HARD})
        self.filter = CommandFilter(spec, ARM, envelope, period=0.05, timeout=0.1)
        self.player = TrajectoryPlayer(self.filter, choice)
        self.position, self.now, self.stuck = np.zeros(2), 100.0, False
        self.path: list[tuple[float, float]] = []
        self.ended: tuple[int, str] | None = None
        self.levels, self.permits = (0.0,) * 4, PermitSource(0.3)
        self.permitted = self.is_measured = True
        self.tick()

    @property
    def measured(self) -> Measured:
        position = self.position[None].copy() if self.is_measured else None
        return Measured(position=position, velocity=np.zeros((1, 2)))

    def start(self, *rows: list[float], times: list[float], tolerances: Any = None, **more: Any) -> None:
        points = {"time_from_start": np.array(times), "positions": np.array(rows, float)}
        points |= {
            name: np.array(value, float) for name, value in more.items() if name not in ("source", "stamp")
        }
        self.player.start(
            points,
            tolerances or Tolerances(ANY, ANY),
            self.now,
            self.now,
            more.get("stamp", 0.0),
            more.get("source", "a"),
            self.measured,
            lambda code, text: setattr(self, "ended", (code, text)),
        )

    def tick(self) -> None:
        self.now += TICK
        if self.permitted:
            self.filter.permit.take(self.permits.next(self.levels, "", now=self.now).encode(), 1, self.now)
        output = self.filter.tick(self.now, self.measured)
        followed = self.player.step(self.now, self.now, self.measured)
        output = output or followed
        if output is not None and not self.stuck:
            self.position = np.array(output.values)
        self.path.append((self.now, float(self.position[0])))

    def follow(self, seconds: float = 30.0) -> float:
        """Until it has ended; how long that took."""
        began = self.now
        while self.ended is None and self.now < began + seconds:
            self.tick()
        return self.now - began

    @property
    def speed(self) -> float:
        return float(np.abs(np.diff([x for _, x in self.path])).max() / TICK)


def test_a_trajectory_within_the_limits_takes_its_own_time() -> None:
    arm = Arm()
    arm.start([0.1, -0.1], [0.2, 0.0], times=[1.0, 2.0])
    assert arm.follow() == pytest.approx(2.0, abs=0.1)
    assert arm.ended == (SUCCEEDED, "succeeded")
    assert arm.position == pytest.approx([0.2, 0.0], abs=1e-6)


def test_one_that_is_too_fast_is_scaled_in_time_and_keeps_its_path() -> None:
    arm = Arm()
    path = []
    arm.start([1.0, -0.5], times=[1.0])
    while arm.ended is None:
        arm.tick()
        path.append(arm.position.copy())
    assert arm.ended[0] == SUCCEEDED
    assert arm.now - 100.0 == pytest.approx(5.0, abs=0.2)  # its fastest, 1.5 rad/s, at 0.3 rad/s
    assert arm.speed <= 0.3 + 1e-6
    assert np.abs([2.0 * elbow + shoulder for shoulder, elbow in path]).max() < 1e-6


def test_a_lift_and_its_end_change_the_pace_under_way() -> None:
    arm = Arm()
    arm.levels = (0.0, 1.0, 0.0, 0.0)
    arm.tick()
    arm.start([2.0, 0.0], times=[2.0])
    for _ in range(50):
        arm.tick()
    assert arm.speed == pytest.approx(1.5, abs=0.1)
    arm.levels, arm.path = (0.0,) * 4, []
    arm.follow()
    assert arm.ended == (SUCCEEDED, "succeeded")
    assert abs(arm.path[-2][1] - arm.path[-3][1]) / TICK <= 0.3 + 1e-6


def test_where_refusing_is_chosen_the_worst_limit_is_named() -> None:
    arm = Arm("refuse")
    with pytest.raises(
        InvalidCommand, match=r"5 times as long \(velocity\[shoulder\] = 1.5, the limit is 0.3\)"
    ):
        arm.start([1.0, 0.0], times=[1.0])
    assert arm.player.outcome.startswith("refused: ")
    assert not arm.player.is_playing
    arm.start([0.1, 0.0], times=[1.0])
    arm.follow()
    assert arm.ended == (SUCCEEDED, "succeeded")


def test_where_refusing_is_chosen_a_lift_that_ends_ends_it() -> None:
    arm = Arm("refuse")
    arm.levels = (0.0, 1.0, 0.0, 0.0)
    arm.filter.command([0.0, 0.0], arm.now, 0.0, "a", arm.measured)
    arm.tick()
    arm.filter.command([0.0, 0.0], arm.now, 0.0, "a", arm.measured)
    arm.start([1.0, 0.0], times=[1.0])
    arm.tick()
    arm.levels = (0.0,) * 4
    arm.follow()
    assert arm.ended is not None
    assert arm.ended[0] == INVALID
    assert "the nerf has tightened" in arm.ended[1]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rows": [[0.0, -4.0]]}, r"positions\[elbow\] = -4: beyond -3.0 to 3.0"),
        ({"rows": [[4.0, 0.0]]}, r"positions\[shoulder\] = 4: beyond -3.0 to 3.0"),
        ({"effort": [[0.0, -25.0]]}, r"effort\[elbow\] = -25: the limit is 20"),
        ({"unmeasured": True}, "no position is measured"),
        ({"permitted": False}, "stopped: permit"),
        ({"inactive": True}, "stopped: inactive"),
        ({"stamp": math.nan}, "must be a time"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    arm = Arm()
    arm.permitted = change.pop("permitted", True)
    for _ in range(20):
        arm.tick()
    if change.pop("inactive", False):
        arm.filter.stop_conditions["inactive"] = "test"
    if change.pop("unmeasured", False):
        arm.is_measured = False
    rows = change.pop("rows", [[0.1, 0.0]])
    with pytest.raises(InvalidCommand, match=named):
        arm.start(*rows, times=[1.0], **change)


def test_a_stop_ends_it_for_good() -> None:
    arm = Arm()
    arm.start([1.0, 0.0], times=[1.0])
    for _ in range(20):
        arm.tick()
    arm.permitted = False
    arm.follow()
    assert arm.ended is not None
    assert arm.ended[0] == STOPPED
    assert "permit" in arm.ended[1]
    rest, arm.permitted = arm.position.copy(), True
    for _ in range(50):
        arm.tick()
    assert arm.position == pytest.approx(rest, abs=0.02)


def test_another_sender_is_refused_while_one_is_followed() -> None:
    arm = Arm()
    arm.start([1.0, 0.0], times=[1.0])
    arm.tick()
    with pytest.raises(InvalidCommand, match="another sender"):
        arm.start([0.5, 0.0], times=[1.0], source="b")
    assert arm.player.is_playing
    arm.filter.command([0.0, 0.0], arm.now, 0.0, "b", arm.measured)
    arm.follow()
    assert arm.ended is not None
    assert "two publishers" in arm.ended[1]


def test_a_new_one_of_the_same_sender_replaces_it_from_where_the_robot_is() -> None:
    arm = Arm()
    arm.start([1.0, 0.0], times=[1.0], stamp=50.0)
    for _ in range(50):
        arm.tick()
    with pytest.raises(InvalidCommand, match=r"same as|older"):
        arm.start([0.0, 0.0], times=[1.0], stamp=50.0)
    assert arm.player.is_playing
    arm.start([0.0, 0.0], times=[1.0], stamp=51.0)
    assert arm.ended == (REPLACED, "replaced by another trajectory")
    arm.ended = None
    arm.follow()
    assert arm.ended == (SUCCEEDED, "succeeded")
    assert arm.position == pytest.approx([0.0, 0.0], abs=1e-6)
    assert arm.speed <= 0.3 + 1e-6


def test_leaving_the_path_or_missing_the_goal_ends_it_by_name() -> None:
    arm = Arm()
    arm.start([1.0, 0.0], times=[1.0], tolerances=Tolerances(np.array([0.05, math.inf]), ANY))
    arm.stuck = True
    arm.follow()
    assert arm.ended is not None
    assert arm.ended[0] == PATH_TOLERANCE
    assert "path tolerance: shoulder is off by 0.0" in arm.ended[1]
    arm = Arm()
    arm.start([0.1, 0.0], times=[1.0], tolerances=Tolerances(ANY, np.full(2, 0.05), goal_time=0.5))
    arm.stuck = True
    assert arm.follow() == pytest.approx(1.5, abs=0.1)
    assert arm.ended == (GOAL_TOLERANCE, "goal tolerance: shoulder is off by 0.1, allowed 0.05")


def test_a_latency_is_waited_for() -> None:
    arm = Arm(channels={}, latency={"nerfed": 0.5, "lifted": 0.0})
    arm.start([0.1, 0.0], times=[1.0])
    assert arm.follow() == pytest.approx(1.5, abs=0.1)
    assert arm.ended == (SUCCEEDED, "succeeded")
