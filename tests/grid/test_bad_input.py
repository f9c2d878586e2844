"""What cannot be is refused in one line that names field, value and what would be right."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest

import nerfbot  # noqa: F401  # importing it registers the environments
from nerfbot.errors import InvalidCommand, InvalidCourse, InvalidSpec, LeaseError, NerfbotError
from nerfbot.grid.levels import SEEDS, LevelSet, Split
from nerfbot.powers import EDITS
from tests.grid.plants import course_of

NAME = "nerfbot/Grid-v0"
COIN = {"kind": "coin"}
BLOCK = {"B": {"kind": "block", "mass": 5.0, "friction": 0.4}}
WALLED = course_of(["#######", "#S.#C.#", "#..####", "#######"])
CROWDED = course_of(["#" * 12, "#S" + "." * 8 + "C#", *["#" + "B" * 10 + "#"] * 7, "#" * 12], BLOCK)

CASES: dict[str, tuple[dict[str, Any], type[NerfbotError], str]] = {
    "keyword": ({"cuorse": "x"}, InvalidCommand, "unknown keyword 'cuorse'; did you mean 'course'?"),
    "course name": ({"course": "coin-in-korner"}, InvalidCourse, "did you mean 'coin-in-corner'?"),
    "course file": ({"course": "no/such.yaml"}, InvalidCourse, "unknown course 'no/such.yaml'"),
    "course type": ({"course": 3}, InvalidCourse, "course: must be a name, a path, a course, a plan"),
    "walled coin": ({"course": WALLED}, InvalidCourse, "no goal can be reached: walls shut every goal off"),
    "no goal": (
        {"task": {"goal": {"kind": "chest"}, "horizon": 9.0}},
        InvalidCourse,
        "course 'coin-in-corner' drawn from seed 0: no goal can be reached: it has none of the task's goals",
    ),
    "too much": (
        {"course": CROWDED},
        InvalidCourse,
        "course 'test': 70 blocks, gates and fragile objects; the grid holds 64",
    ),
    "task type": ({"task": "coin"}, InvalidCourse, "task: must be a task or a mapping of its fields"),
    "task field": ({"task": {"horzon": 1.0}}, InvalidCourse, "task.horzon: unknown field; did you mean"),
    "task kind": ({"task": {"goal": {"kind": "coyn"}}}, InvalidCourse, "task.goal.kind: not an element"),
    "task zone": (
        {"task": {"goal": {"kind": "fog"}, "horizon": 9.0}},
        InvalidCourse,
        "task.goal: 'fog': a zone cannot be the goal on the grid",
    ),
    "task id": (
        {"task": {"goal": {**COIN, "id": "coin-1"}, "horizon": 9.0}},
        InvalidCourse,
        "task.goal.id: 'coin-1': the grid tells elements apart only by kind, colour, shape",
    ),
    "task colour": (
        {"task": {"goal": {**COIN, "colour": "mauve"}, "horizon": 9.0}},
        InvalidCourse,
        "task.goal.colour: unknown 'mauve' (known: red, green",
    ),
    "task shape": (
        {"task": {"goal": {**COIN, "shape": "blob"}, "horizon": 9.0}},
        InvalidCourse,
        "task.goal.shape: unknown 'blob' (known: coin, gem",
    ),
    "horizon": ({"task": {"horizon": -1.0}}, InvalidCourse, "task.horizon: must be greater than 0"),
    "endless horizon": ({"task": {"horizon": float("inf")}}, InvalidCourse, "must be a finite number"),
    "nerf name": ({"nerf": "heavy"}, InvalidSpec, "nerf: unknown preset 'heavy' (known:"),
    "nerf type": ({"nerf": 3}, InvalidSpec, "nerf: must be a name, a path, a mapping or a NerfSpec, got 3"),
    "nerf field": ({"nerf": {"name": "x", "chanels": {}}}, InvalidSpec, "did you mean 'channels'?"),
    "nerf channel": (
        {"nerf": {"name": "x", "channels": {"linear.q": {"velocity": 1.0}}}},
        InvalidSpec,
        "channels[linear.q]: the robot has no such channel; did you mean 'linear.x'?",
    ),
    "unenforceable": (
        {"nerf": "rover-weak", "allow": []},
        InvalidSpec,
        "not enforceable: finer than a cell and a tick (allow 'linear.x.acceleration'",
    ),
    "allow": ({"allow": "linear.x.acceleration"}, InvalidSpec, "allow: must be a list of names, or None"),
    "power": ({"powers": ["fly"]}, LeaseError, "powers: unknown power 'fly' (known: strength, speed"),
    "powers as text": ({"powers": "speed"}, LeaseError, "powers: must be a list of names, got the text"),
    "powers type": ({"powers": None}, LeaseError, "powers: must be a list of names, got None"),
    "schedule": ({"schedule": "sometimes"}, LeaseError, "schedule: kind: unknown 'sometimes' (known:"),
    "schedule type": ({"schedule": 3}, LeaseError, "schedule: must be a name, a path, a mapping"),
    "schedule file": (
        {"schedule": "no.yaml"},
        LeaseError,
        "no.yaml: cannot be read: No such file",
    ),
    "probability": (
        {"schedule": {"kind": "occasional", "probability": 2}},
        LeaseError,
        "Occasional: probability: must be less than or equal to 1, got 2",
    ),
    "edit not on the menu": (
        {"powers": ["speed"], "schedule": {"kind": "always", "edits": ["teleport"]}},
        LeaseError,
        "schedule.edits: 'teleport' is not among powers = ['speed']",
    ),
    "level of an edit": (
        {"powers": ["teleport"], "schedule": "staircase"},
        LeaseError,
        "schedule staircase: adapts levels, and the edits teleport have none",
    ),
    "too many windows": (
        {"schedule": ["always"] * 20},
        LeaseError,
        "schedule: an episode has 20 windows; a robot may hold",
    ),
    "destinations": ({"destinations": "far"}, LeaseError, "must be one of drawn, region, cell, got 'far'"),
    "content": (
        {"powers": ["rewrite-cell"], "contents": ["mauve coin"]},
        LeaseError,
        "contents: 'mauve coin' is neither wall, floor nor a colour and a shape",
    ),
    "contents type": (
        {"contents": 3},
        LeaseError,
        "contents: must be basic, all, a list of names, or a mapping",
    ),
    "contents key": (
        {"powers": ["rewrite-cell"], "contents": {"colors": "all"}},
        LeaseError,
        "contents: unknown field 'colors' (known: colours, shapes)",
    ),
    "split": ({"split": "exam"}, InvalidCourse, "split: must be one of train, validation, development, test"),
    "alpha": ({"alpha": 1.5}, InvalidCourse, "alpha: must be a number from 0 to 1, got 1.5"),
    "alpha nan": ({"alpha": float("nan")}, InvalidCourse, "alpha: must be a number from 0 to 1, got nan"),
    "no levels": ({"levels": 0}, InvalidCourse, "levels: must be a whole number from 1 to 1000000, got 0"),
    "levels": ({"levels": 10**9}, InvalidCourse, "levels: must be a whole number from 1 to 1000000"),
    "half a level": ({"levels": 1.5}, InvalidCourse, "levels: must be a whole number from 1 to 1000000"),
    "level seed": ({"level_seed": -1}, InvalidCourse, "level_seed: must be a whole number from 0 to"),
    "leases": ({"leases": "here"}, InvalidCommand, "leases: must be anywhere or lift-zones, got 'here'"),
    "flag": ({"reveal_lift": "yes"}, InvalidCommand, "reveal_lift: must be true or false, got 'yes'"),
    "rewards": ({"rewards": [3]}, InvalidCourse, "rewards: must be a list of terms"),
    "device": ({"device": "tpu"}, InvalidCommand, "device: 'tpu' is not there (there are: cpu"),
    "render mode": ({"render_mode": "svg"}, InvalidCommand, "render_mode: must be rgb_array, ansi or None"),
}


@pytest.mark.filterwarnings("ignore:.*render_mode='svg'")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("batched", [False, True], ids=["make", "make_vec"])
def test_a_keyword_that_cannot_be_is_one_line_of_a_named_error(case, batched):
    keywords, error, message = CASES[case]
    make = functools.partial(gymnasium.make_vec, num_envs=2) if batched else gymnasium.make
    with pytest.raises(error, match=re.escape(message)) as caught:
        make(NAME, **{"levels": 2, **keywords})
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


def test_a_missing_gpu_is_one_line():
    warp = pytest.importorskip("warp")
    if warp.is_cuda_available():
        pytest.skip("there is one")
    with pytest.raises(InvalidCommand, match=r"^device: 'cuda' is not there \(there are: cpu\)$"):
        gymnasium.make(NAME, levels=2, device="cuda")


def test_a_missing_warp_is_one_line():
    code = (
        "import sys; sys.modules['warp'] = None\n"
        "import gymnasium, nerfbot\n"
        "try: gymnasium.make('nerfbot/Grid-v0')\n"
        "except nerfbot.errors.MissingDependency as error: print(error)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert process == "the grid needs warp-lang, which cannot be imported; install nerfbot[grid]\n"


@pytest.mark.parametrize("number", [0, -1, 1.5, "3", True, None, 10**9], ids=repr)
def test_a_number_of_worlds_that_cannot_be(number):
    with pytest.raises(InvalidCommand, match=r"^num_envs"):
        gymnasium.make_vec(NAME, num_envs=number, levels=2)


@pytest.fixture(scope="module")
def env() -> Any:
    env = gymnasium.make(NAME, levels=4, powers=["teleport"]).unwrapped
    env.reset(seed=0)
    return env


@pytest.fixture(scope="module")
def envs() -> Any:
    envs = gymnasium.make_vec(NAME, num_envs=3, levels=4, powers=[*EDITS], contents=["wall"])
    envs.reset(seed=0)
    return envs


class TestOneWorld:
    @pytest.mark.parametrize("action", [-1, 6, 10**12])
    def test_an_action_outside_the_table(self, env, action):
        with pytest.raises(InvalidCommand, match=f"^action must be 0 to 5, got {action}$"):
            env.step(action)

    @pytest.mark.parametrize("action", [1.0, "east", None, [1], np.array([1, 2]), np.float32(1)], ids=repr)
    def test_an_action_of_the_wrong_type(self, env, action):
        before = env.worlds.whole(0)
        with pytest.raises(InvalidCommand, match=r"^action must be a whole number, got"):
            env.step(action)
        assert (env.worlds.whole(0) == before).all()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"levl": 1}, "reset: unknown option 'levl' (known: level)"),
            ({"level": 4}, "reset: level 4: the levels are 0 to 3"),
            ({"level": -2}, "reset: level -2: the levels are 0 to 3"),
            ({"level": 1.0}, "reset: level must be a whole number, got 1.0"),
        ],
    )
    def test_an_option_of_a_reset_that_cannot_be(self, env, options, message):
        with pytest.raises(InvalidCommand, match=f"^{re.escape(message)}$"):
            env.reset(options=options)


class TestBatch:
    @pytest.mark.parametrize(
        "actions",
        [[0, 1], [0, 1, 2, 3], [[0], [1], [2]], [0.0, 1.0, 2.0], [True, False, True], "abc", 1, None],
        ids=repr,
    )
    def test_actions_of_the_wrong_shape_or_type(self, envs, actions):
        with pytest.raises(InvalidCommand, match=r"^action must be whole numbers of the shape \(3,\)"):
            envs.step(actions)

    @pytest.mark.parametrize(
        ("mask", "got"),
        [
            (np.ones(2, bool), r"bool \(2,\)"),
            (np.ones((3, 1), bool), r"bool \(3, 1\)"),
            (np.ones(3), r"float64 \(3,\)"),
            ("all", r"<U3 \(\)"),
        ],
    )
    def test_a_reset_mask_of_the_wrong_shape_or_type(self, envs, mask, got):
        message = rf"^reset: the mask must be bool of the shape \(3,\), got {got}$"
        with pytest.raises(InvalidCommand, match=message):
            envs.reset(options={"reset_mask": mask})

    @pytest.mark.parametrize(
        ("levels", "message"),
        [
            ([0, 1], r"levels must be whole numbers of the shape \(3,\), got int64 \(2,\)"),
            ([0.5, 1, 2], r"levels must be whole numbers of the shape \(3,\), got float64 \(3,\)"),
            ([0, 1, 4], "level 4: the levels are 0 to 3"),
            ([0, -3, 1], "level -3: the levels are 0 to 3"),
        ],
    )
    def test_levels_that_cannot_be(self, envs, levels, message):
        with pytest.raises(InvalidCommand, match=f"^reset: {message}$"):
            envs.reset(options={"levels": levels})

    @pytest.mark.parametrize(
        ("seed", "message"),
        [([1, 2], "seed: 2 given for 3 environments"), ("abc", "seed: must be whole numbers"), (1.5, "seed")],
    )
    def test_seeds_that_cannot_be(self, envs, seed, message):
        with pytest.raises(InvalidCommand, match=f"^{message}"):
            envs.reset(seed=seed)

    def test_an_unknown_option(self, envs):
        with pytest.raises(
            InvalidCommand, match=r"^reset: unknown option 'level' \(known: reset_mask, levels\)$"
        ):
            envs.reset(options={"level": 1})


class TestPowersThatMayNotBeUsed:
    """In a batched step nothing is raised: the world does nothing for a tick, and counts."""

    @pytest.mark.parametrize("edit", EDITS)
    def test_outside_its_lease(self, edit):
        envs = gymnasium.make_vec(
            NAME, num_envs=2, course="keys-and-chests", levels=4, powers=[edit], contents=["wall"]
        )
        before, info = envs.reset(seed=0)
        assert not info["action_mask"][:, 5:].any()
        after, reward, *_, info = envs.step(np.array([5, 0]))
        np.testing.assert_array_equal(before["grid"], after["grid"])
        assert reward.tolist() == [0.0, 0.0]
        assert info["nerf"]["illegal"].tolist() == [1, 0]
        assert info["nerf"]["edit"][0, [0, 3]].tolist() == [5, 0]
        assert info["nerf"]["executed"].tolist() == [0, 0]

    @pytest.mark.parametrize("action", [-1, 6, 2**40, -(2**40)])
    def test_outside_the_table(self, action):
        envs = gymnasium.make_vec(NAME, num_envs=2, levels=4, powers=["teleport"], schedule="always")
        before, _ = envs.reset(seed=0)
        after, *_, info = envs.step(np.array([action, 0]))
        np.testing.assert_array_equal(before["grid"], after["grid"])
        assert info["nerf"]["illegal"].tolist() == [1, 0]

    def test_without_a_legal_place(self):
        """No chest is there to be unlocked."""
        envs = gymnasium.make_vec(NAME, num_envs=2, levels=4, powers=["unlock"], schedule="always")
        _, info = envs.reset(seed=0)
        assert info["action_mask"].all()
        *_, info = envs.step(np.array([5, 0]))
        assert info["nerf"]["illegal"].tolist() == [1, 0]

    def test_the_count_is_in_what_the_episode_came_to(self):
        envs = gymnasium.make_vec(NAME, num_envs=2, levels=4, powers=["teleport"])
        envs.reset(seed=0)
        for _ in range(envs.worlds.options.horizon):
            *_, info = envs.step(np.array([5, 0]))
        summary = info["final_info"]["episode_summary"]
        assert summary["illegal_edits"].tolist() == [envs.worlds.options.horizon, 0]
        assert summary["edits"]["teleport"].tolist() == [0, 0]


class TestLevels:
    def test_seeds_do_not_run_on_into_the_next_split(self):
        with pytest.raises(InvalidCourse, match=f"of 8 found between first_seed {SEEDS - 2} and the end"):
            LevelSet.draw("coin-in-corner", 8, split=Split.TRAIN, first_seed=SEEDS - 2)

    def test_no_level_can_be_solved(self, monkeypatch):
        monkeypatch.setattr("nerfbot.grid.levels.has_a_way", lambda course: False)
        with pytest.raises(InvalidCourse, match="0 of 2 of the split test found; 200 draws in a row"):
            LevelSet.draw("coin-in-corner", 2, split=Split.TEST)

    def test_courses_of_two_sizes(self):
        sizes = [course_of(["#####", "#S.C#", "#####"]), course_of(["######", "#S..C#", "######"])]
        with pytest.raises(InvalidCourse, match="levels: course 'test' is 3 x 6 cells of 1 m, the first is"):
            LevelSet.of(sizes)

    def test_none_at_all(self):
        with pytest.raises(InvalidCourse, match="levels: there must be at least one"):
            LevelSet.of([])


def test_warp_starts_without_a_word():
    start = "import sys; from nerfbot.grid.device import start_warp; start_warp()"
    code = f"{start}; print('heard', file=sys.stderr)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (process.stdout, process.stderr) == ("", "heard\n")
