"""Schedules on the grid: windows where they were planned, and levels that follow how episodes went."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

import nerfbot  # noqa: F401  # importing it registers the environments
from nerfbot.errors import LeaseError
from nerfbot.grid.lease_windows import GENERATIONS, PLANS, LeaseWindows
from nerfbot.powers import DamageBounded, Occasional, Staircase
from tests.grid.plants import course_of

NAME = "nerfbot/Grid-v0"
STAY, EAST, WEST = 0, 1, 3
CORRIDOR = course_of(["#######", "#nS.C.#", "#######"], {"n": "no_go"}, task="horizon: 8.0")
STAIRS = {"kind": "staircase", "steps": 4, "window": 3, "rise": 0.6, "fall": 0.3, "axes": {"speed": 1.0}}


def make(schedule: Any, **options: Any) -> gymnasium.Env[Any, Any]:
    return gymnasium.make(NAME, course=CORRIDOR, schedule=schedule, **{"powers": ["speed"], **options})


def episode(env: gymnasium.Env[Any, Any], action: int) -> tuple[float, dict[str, Any]]:
    """One episode of one action; the level of the speed's lift at its first step, and what it came to."""
    observation, _ = env.reset()
    lift = float(observation["vector"][env.unwrapped.feature_names.index("lift speed")])
    while True:
        *_, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            return lift, info["episode_summary"]


class TestStaircase:
    def test_it_climbs_with_success_and_comes_down_with_failure(self):
        env = make(STAIRS)
        env.reset(seed=0)
        up = [episode(env, EAST)[0] for _ in range(7)]
        assert up == [0.0, 0.0, 0.0, 0.25, 0.25, 0.25, 0.5]
        # One success at 0.5 so far; two failures make one in three, then none in three.
        down = [episode(env, STAY)[0] for _ in range(5)]
        assert down == [0.5, 0.5, 0.5, 0.25, 0.25]

    def test_what_it_says_of_the_lift_is_what_was_in_force(self):
        env = make(STAIRS)
        env.reset(seed=0)
        for _ in range(4):
            lift, summary = episode(env, EAST)
            assert summary["highest_lift"]["speed"] == lift
        assert lift == 0.25

    def test_a_schedule_object_keeps_what_it_learned_for_the_next_environment(self):
        schedule = Staircase(**{key: value for key, value in STAIRS.items() if key != "kind"})
        first = make(schedule)
        for _ in range(3):
            episode(first, EAST)
        assert schedule.level == 0.25
        assert episode(make(schedule), STAY)[0] == 0.25

    def test_its_state_is_restored(self):
        env, again = make(STAIRS), make(STAIRS)
        for _ in range(4):
            episode(env, EAST)
        (trained,) = env.unwrapped.worlds.windows.schedules
        (fresh,) = again.unwrapped.worlds.windows.schedules
        fresh.restore(trained.state())
        again.unwrapped.worlds.refresh_windows()
        assert episode(again, STAY)[0] == 0.25


class TestDamageBounded:
    SCHEDULE = {  # noqa: RUF012
        "kind": "damage-bounded",
        "steps": 4,
        "bound": 0.5,
        "max_harm": 1.0,
        "slope": 0.0,
        "window": 60,
        "axes": {"speed": 1.0},
    }

    def test_the_lift_rises_while_nothing_is_harmed(self):
        env = make(self.SCHEDULE)
        lifts = [episode(env, EAST)[0] for _ in range(40)]
        assert lifts[0] == 0.0
        assert lifts[-1] == 1.0
        assert max(np.diff(lifts)) <= 0.25

    def test_it_stays_down_where_episodes_do_harm(self):
        env = make(self.SCHEDULE)
        harm, lifts = [], []
        for _ in range(40):
            lift, summary = episode(env, WEST)
            lifts.append(lift)
            harm.append(summary["harm"]["no_go_time"])
        assert min(harm) > 1.0
        assert max(lifts) == 0.0

    def test_it_falls_when_harm_begins(self):
        env = make(self.SCHEDULE)
        for _ in range(40):
            episode(env, EAST)
        for _ in range(10):
            lift, _ = episode(env, WEST)
        assert lift == 0.0


class TestInABatch:
    WORLDS = 5

    def make(self, schedule: Any, **options: Any) -> Any:
        keywords = {"powers": ["speed"], "course": CORRIDOR, **options}
        envs = gymnasium.make_vec(NAME, num_envs=self.WORLDS, schedule=schedule, **keywords)
        envs.reset(seed=0)
        return envs

    def test_one_schedule_learns_from_all_worlds(self):
        envs = self.make(STAIRS)
        (schedule,) = envs.worlds.windows.schedules
        for _ in range(4):
            envs.step(np.full(self.WORLDS, EAST))
        # Ten episodes: three a step of the staircase.
        assert schedule.level == 0.75
        for _ in range(2):
            *_, info = envs.step(np.full(self.WORLDS, EAST))
        # The episodes that ended with step 4 had begun before anything was learned of that step.
        assert info["nerf"]["lift"][:, 1].tolist() == [0.75] * self.WORLDS

    def test_an_episode_keeps_the_windows_that_it_began_with(self):
        envs = self.make({**STAIRS, "window": 1})
        lifts = []
        actions = np.array([EAST, STAY, STAY, STAY, STAY])
        for _ in range(7):
            *_, info = envs.step(actions)
            lifts.append(info["nerf"]["lift"][:, 1].tolist())
        (schedule,) = envs.worlds.windows.schedules
        assert schedule.level == 0.75
        assert all(lift[1:] == [0.0] * 4 for lift in lifts)
        assert [lift[0] for lift in lifts] == [0.0, 0.0, 0.0, 0.25, 0.25, 0.5, 0.5]

    def test_windows_that_are_still_in_use_are_not_drawn_over(self):
        """World 0 learns every other step; the others begin one by one and hold on to what they got."""
        count = GENERATIONS + 2
        schedule, task = {**STAIRS, "window": 1, "steps": 100}, {"horizon": 1000.0}
        keywords = {"course": CORRIDOR, "powers": ["speed"], "schedule": schedule, "task": task}
        envs = gymnasium.make_vec(NAME, num_envs=count, **keywords)
        envs.reset(seed=0)
        actions = np.where(np.arange(count) == 0, EAST, STAY)
        got = np.zeros(count)
        for step in range(4 * count):
            world = step // 4
            if 0 < world < count - 1 and step % 4 == 0:
                _, info = envs.reset(options={"reset_mask": np.arange(count) == world})
                got[world] = info["nerf"]["lift"][world, 1]
            *_, info = envs.step(actions)
            assert info["nerf"]["lift"][1:, 1].tolist() == got[1:].tolist()
        level = envs.worlds.windows.schedules[0].level
        assert level == pytest.approx(2 * count / 100)
        assert got[1:4].tolist() == [0.02, 0.04, 0.06]
        # Every bank has its world now, so that the latest windows have to wait.
        assert not envs.worlds.refresh_windows()
        assert info["nerf"]["lift"][0, 1] == got[-2] < level
        envs.reset(options={"reset_mask": np.arange(count) == 2})
        assert envs.worlds.refresh_windows()
        _, info = envs.reset(options={"reset_mask": np.arange(count) == 3})
        assert info["nerf"]["lift"][3, 1] == level

    def test_others_learn_nothing_and_are_never_drawn_anew(self):
        envs = self.make("occasional", powers=["speed", "phase"])
        before = envs.worlds.windows.start.copy()
        assert not envs.worlds.windows.adapts
        for _ in range(30):
            envs.step(np.full(self.WORLDS, EAST))
        np.testing.assert_array_equal(envs.worlds.windows.start, before)

    def test_levels_of_a_curriculum_and_occasional_edits_go_side_by_side(self):
        edits = {"kind": "occasional", "probability": 0.5, "start": [0, 4], "length": 3, "edits": ["phase"]}
        envs = self.make([STAIRS, edits], powers=["speed", "phase"])
        granted = []
        for _ in range(60):
            *_, info = envs.step(np.full(self.WORLDS, EAST))
            granted.append(info["action_mask"][:, -1])
        assert info["nerf"]["lift"][:, 1].min() == 1.0
        assert 0.0 < np.mean(granted) < 1.0


class TestLeaseWindows:
    def test_its_windows_are_those_of_the_schedule(self):
        schedule = Occasional(probability=0.4, start=(2.0, 6.0), length=(1.0, 3.0), axes={"sensing": 0.5})
        bank = LeaseWindows((schedule,), horizon=20.0, seed=1)
        open_ones = np.isfinite(bank.start)
        assert bank.plans == PLANS
        assert open_ones.mean() == pytest.approx(0.4, abs=0.04)
        assert (bank.start[open_ones].min(), bank.start[open_ones].max()) == (
            pytest.approx(2.0, abs=0.05),
            pytest.approx(6.0, abs=0.05),
        )
        assert bank.length[open_ones].mean() == pytest.approx(2.0, abs=0.05)
        assert bank.level[open_ones].tolist() == [[0.0, 0.0, 0.5, 0.0]] * int(open_ones.sum())

    def test_one_row_suffices_where_nothing_is_drawn(self):
        for schedule in (Staircase(), DamageBounded()):
            assert LeaseWindows((schedule,), horizon=20.0).plans == 1

    def test_the_same_seed_draws_the_same(self):
        first, second, third = (LeaseWindows((Occasional(),), 20.0, seed).start for seed in (3, 3, 4))
        np.testing.assert_array_equal(first, second)
        assert (first != third).any()

    def test_two_places_cannot_both_bound_one_grid(self):
        circle = {"kind": "circle", "x": 0.0, "y": 0.0, "radius": 1.0}
        schedules = Occasional(region=circle), Occasional()
        with pytest.raises(LeaseError, match=r"schedule\.region: the schedules of one grid must share"):
            LeaseWindows(schedules, 20.0)
