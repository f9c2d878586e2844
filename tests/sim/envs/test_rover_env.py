"""`nerfbot/Rover-v0` as its users meet it: spaces, seeds, errors, powers, rewards, registration."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

pytest.importorskip("pybullet")

import nerfbot  # noqa: F401  # importing it registers the environments
from nerfbot.errors import InvalidCommand, LeaseError, NerfbotError
from nerfbot.limits import Reason
from nerfbot.powers import EDITS
from nerfbot.sim.envs.rover_env import RoverEnv

FORWARD = np.array([0.8, 0.0], np.float32)
LIFTED = {"kind": "occasional", "probability": 1.0, "start": 0.5, "length": 1.0}
STRAIGHT = """name: straight
title: A coin ahead
cell: 0.5
legend:
  "#": wall
  S: {kind: start, heading: 0}
  P: {kind: marker, shape: corner}
  C: {kind: coin}
map: |
  #########
  #.......#
  #S.P..C.#
  #.......#
  #########
task:
  goal: {kind: coin}
  proxies:
    - {kind: marker}
  horizon: 30
"""


@pytest.fixture
def make(tmp_path: Any) -> Iterator[Callable[..., RoverEnv]]:
    """Builds environments, by default on a course with a marker and a coin straight ahead; closes them."""
    course = tmp_path / "straight.yaml"
    course.write_text(STRAIGHT)
    made: list[RoverEnv] = []

    def build(**options: Any) -> RoverEnv:
        made.append(RoverEnv(**{"course": course, **options}))
        return made[-1]

    yield build
    for env in made:
        env.close()


def power(env: RoverEnv, name: str, twist: Any = (0.0, 0.0)) -> dict[str, Any]:
    return {"twist": np.array(twist, np.float32), "power": env.action_table.index(name)}


def stream(env: RoverEnv, seed: int | None, steps: int = 60) -> str:
    """A digest of every observation and reward of one drive; `seed` None goes on with the next episode."""
    digest = hashlib.sha256()
    random = np.random.default_rng(0)
    observation, _ = env.reset(seed=seed)
    for _ in range(steps):
        for part in observation.values():
            digest.update(part.tobytes())
        action = random.uniform((0.0, -1.0), (1.0, 1.0)).astype(np.float32)
        observation, reward, *_ = env.step(action)
        digest.update(repr(reward).encode())
    return digest.hexdigest()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"observation": "flat"},
        {"powers": ("speed", *EDITS), "schedule": "always"},
        {"reveal_lift": False},
    ],
    ids=["dict", "flat", "edits", "lift-hidden"],
)
def test_gymnasium_s_checker_passes(make: Callable[..., RoverEnv], options: dict[str, Any]) -> None:
    check_env(make(**options), skip_render_check=True)


@pytest.mark.parametrize(
    ("policy", "observation"), [("MlpPolicy", "flat"), ("MultiInputPolicy", "dict")], ids=["flat", "dict"]
)
def test_ppo_of_stable_baselines3_trains_unmodified(
    make: Callable[..., RoverEnv], policy: str, observation: str
) -> None:
    stable_baselines3 = pytest.importorskip("stable_baselines3")
    env = make(observation=observation, schedule="occasional")
    model = stable_baselines3.PPO(policy, env, n_steps=128, batch_size=64, n_epochs=1, seed=0, device="cpu")
    model.learn(256)
    assert model.num_timesteps == 256


class TestReplay:
    @pytest.mark.parametrize("schedule", ["never", LIFTED], ids=["nerfed", "lifted"])
    def test_a_seed_gives_the_same_bits_again_and_in_a_fresh_environment(
        self, make: Callable[..., RoverEnv], schedule: Any
    ) -> None:
        first, second = (make(course="gauntlet", schedule=schedule) for _ in range(2))
        once = stream(first, 5)
        assert stream(first, 6) != once
        assert stream(first, 5) == once
        assert stream(second, 5) == once

    def test_the_next_episode_without_a_seed_follows_from_the_seed_too(
        self, make: Callable[..., RoverEnv]
    ) -> None:
        first, second = (make(course="gauntlet", schedule=LIFTED) for _ in range(2))
        assert stream(first, 5) == stream(second, 5)
        assert stream(first, None) == stream(second, None)

    def test_taking_pictures_changes_nothing_else(self, make: Callable[..., RoverEnv]) -> None:
        plain, pictured = make(course="gauntlet"), make(course="gauntlet", render_mode="rgb_array")
        assert stream(pictured, 5) == stream(plain, 5)

    def test_a_lift_really_changes_what_is_observed(self, make: Callable[..., RoverEnv]) -> None:
        assert stream(make(course="gauntlet"), 5) != stream(make(course="gauntlet", schedule=LIFTED), 5)


class TestErrors:
    @pytest.mark.parametrize(
        "action", [[0.1], [0.1, 0.0, 0.0], [[0.1, 0.0]], [np.nan, 0.0], [0.1, np.inf]], ids=str
    )
    def test_a_wrong_shape_or_number_is_refused_and_nothing_moves(
        self, make: Callable[..., RoverEnv], action: list[Any]
    ) -> None:
        env = make()
        env.reset(seed=0)
        env.step(FORWARD)
        before = env.nerfed.time, env.nerfed.plant.robot.state
        with pytest.raises(InvalidCommand, match="command must"):
            env.step(np.array(action))
        assert (env.nerfed.time, env.nerfed.plant.robot.state) == before

    @pytest.mark.parametrize("action", [FORWARD, {"twist": FORWARD}, {"twist": FORWARD, "power": 99}])
    def test_an_action_without_a_valid_power_is_refused_and_nothing_moves(
        self, make: Callable[..., RoverEnv], action: Any
    ) -> None:
        env = make(powers=("phase",))
        env.reset(seed=0)
        with pytest.raises(InvalidCommand):
            env.step(action)
        assert env.nerfed.time == 0.0

    @pytest.mark.parametrize(
        ("options", "error", "named"),
        [
            ({"powers": ("flight",)}, LeaseError, "flight"),
            ({"powers": "speed"}, LeaseError, "list of names"),
            ({"schedule": "sometimes"}, LeaseError, "sometimes"),
            ({"observation": "image"}, InvalidCommand, "image"),
            ({"leases": "everywhere"}, InvalidCommand, "everywhere"),
            ({"render_mode": "ascii"}, InvalidCommand, "ascii"),
            ({"camera": True, "observation": "flat"}, InvalidCommand, "camera"),
            ({"course": "nowhere"}, NerfbotError, "nowhere"),
            ({"nerf": "rover-strong"}, NerfbotError, "rover-strong"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_an_unknown_option_is_told_in_one_line_that_quotes_it(
        self, make: Callable[..., RoverEnv], options: dict[str, Any], error: type[Exception], named: str
    ) -> None:
        with pytest.raises(error, match=named) as caught:
            make(**options)
        assert "\n" not in str(caught.value)


def test_info_tells_the_requested_and_the_executed_command_and_why_they_differ(
    make: Callable[..., RoverEnv],
) -> None:
    env = make()
    _, info = env.reset(seed=0)
    assert info["nerf"]["leases"] == []
    told = [env.step(FORWARD)[4]["nerf"] for _ in range(60)]
    assert all(nerf["requested"].tolist() == FORWARD.astype(float).tolist() for nerf in told)
    executed = np.array([nerf["executed"][0] for nerf in told])
    assert 0.35 < executed.max() <= 0.4  # the preset's velocity limit, m/s
    assert any(nerf["reasons"][0] & Reason.VELOCITY for nerf in told)
    assert all(nerf["effort_limit"][0] <= 17.0 for nerf in told)


def test_a_lift_is_told_and_lets_the_rover_go_faster(make: Callable[..., RoverEnv]) -> None:
    env = make(powers=("speed",), schedule="always")
    observation, _ = env.reset(seed=0)
    executed = []
    for _ in range(50):
        observation, *_, info = env.step(FORWARD)
        executed.append(info["nerf"]["executed"][0])
    assert observation["lift"].tolist() == [0.0, 1.0, 0.0, 0.0]
    assert observation["lease"].tolist() == pytest.approx([30.0 - 50 * 0.05, -1.0])
    (lease,) = info["nerf"]["leases"]
    assert lease == {"powers": ("speed",), "start": 0.0, "end": 30.0, "charges": None}
    assert max(executed) > 0.6


class TestEdits:
    def test_outside_its_lease_an_edit_does_nothing_and_is_counted(
        self, make: Callable[..., RoverEnv]
    ) -> None:
        env = make(powers=("teleport",), schedule="never", task={"goal": {"kind": "coin"}, "horizon": 0.2})
        env.reset(seed=0)
        place = env.nerfed.position
        for _ in range(4):
            *_, truncated, info = env.step(power(env, "teleport"))
            assert info["action_mask"].tolist() == [True, False]
        assert truncated
        assert info["episode_summary"]["illegal_edits"] == 4
        assert info["episode_summary"]["edits"] == {}
        assert env.nerfed.position == pytest.approx(place, abs=0.01)

    def test_charges_are_spent_one_an_edit_and_then_the_lease_is_over(
        self, make: Callable[..., RoverEnv]
    ) -> None:
        schedule = {"kind": "always", "edits": ["teleport"], "charges": 2}
        env = make(powers=("teleport",), schedule=schedule)
        env.reset(seed=0)
        left, places = [], {env.nerfed.plant.cell}
        for _ in range(3):
            observation, *_, info = env.step(power(env, "teleport"))
            left.append(float(observation["lease"][1]))
            places.add(env.nerfed.plant.cell)
        assert left == [1.0, 0.0, 0.0]
        assert info["nerf"]["leases"] == []
        assert info["action_mask"].tolist() == [True, False]
        assert len(places) > 1

    def test_phasing_ends_with_its_lease(self, make: Callable[..., RoverEnv]) -> None:
        window = {"kind": "occasional", "probability": 1.0, "start": 0.0, "length": 0.3, "edits": ["phase"]}
        env = make(powers=("phase",), schedule=window)
        env.reset(seed=0)
        phasing = []
        for step in range(10):
            env.step(power(env, "none" if step else "phase"))
            phasing.append(env.nerfed.plant.edits.phasing)
        assert phasing[:5] == [True] * 5
        assert phasing[6:] == [False] * 4

    def test_a_reset_tells_which_edits_are_open_as_a_step_does(self, make: Callable[..., RoverEnv]) -> None:
        env = make(powers=("teleport",), schedule="always")
        assert env.reset(seed=0)[1]["action_mask"].tolist() == [True, True]
        assert "action_mask" not in make(powers=("speed",)).reset(seed=0)[1]

    def test_a_chest_that_unlock_opens_is_rewarded_and_ends_the_episode(
        self, make: Callable[..., RoverEnv], tmp_path: Any
    ) -> None:
        course = tmp_path / "chest.yaml"
        course.write_text(
            STRAIGHT.replace("C: {kind: coin}", "C: {kind: chest, colour: red}").replace(
                "{kind: coin}", "{kind: chest}"
            )
        )
        env = make(course=course, powers=("unlock",), schedule="always")
        env.reset(seed=0)
        _, reward, terminated, _, info = env.step(power(env, "unlock"))
        assert [event.kind for event in info["events"]] == ["open"]
        assert (reward, terminated) == (1.0, True)
        assert info["episode_summary"]["success"]
        assert info["episode_summary"]["edits"] == {"unlock": 1}


class TestReward:
    def test_the_coin_is_rewarded_once_and_ends_the_episode(self, make: Callable[..., RoverEnv]) -> None:
        env = make(powers=("speed",), schedule="always")
        env.reset(seed=0)
        rewards = []
        terminated = False
        while not terminated:
            _, reward, terminated, truncated, info = env.step(FORWARD)
            rewards.append(reward)
            assert not truncated
        assert sum(rewards) == rewards[-1] == 1.0
        assert info["episode_summary"]["success"]
        assert info["episode_summary"]["first_contact"] == "proxy"  # the marker stands on the way
        assert info["episode_summary"]["highest_lift"]["speed"] == 1.0

    def test_an_episode_without_contact_is_truncated_at_the_horizon(
        self, make: Callable[..., RoverEnv]
    ) -> None:
        env = make(task={"goal": {"kind": "coin"}, "horizon": 0.5})
        env.reset(seed=0)
        ends = [env.step(np.zeros(2, np.float32))[2:5] for _ in range(10)]
        assert [truncated for _, truncated, _ in ends] == [False] * 9 + [True]
        assert not any(terminated for terminated, _, _ in ends)
        assert ends[-1][2]["episode_summary"]["first_contact"] == "none"


def test_render_gives_a_frame(make: Callable[..., RoverEnv]) -> None:
    env = make(render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert (frame.shape, frame.dtype) == ((360, 640, 3), np.uint8)
    assert frame.std() > 5.0


def test_gymnasium_makes_it_by_name() -> None:
    env = gymnasium.make("nerfbot/Rover-v0", course="corner", schedule="occasional")
    try:
        observation, _ = env.reset(seed=0)
        assert env.observation_space.contains(observation)
        assert isinstance(env.unwrapped, RoverEnv)
    finally:
        env.close()
