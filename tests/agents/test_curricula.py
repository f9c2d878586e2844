"""Curricula: which levels come back, what is edited into them, and what a yoked run starts from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from nerfbot.agents.curricula import (
    Accel,
    Curriculum,
    EditedWorldReplay,
    LevelReplay,
    ReplayConfig,
    StateRecorder,
    Yoked,
    mutated,
)
from nerfbot.agents.curricula.held_worlds import moved_start
from nerfbot.agents.explorers import load_explorer
from nerfbot.agents.learner import Learner
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.ppo import PPOConfig
from nerfbot.agents.tensor_env import TensorVectorEnv
from nerfbot.course import load_plan
from nerfbot.errors import InvalidCommand
from nerfbot.grid.action_menu import MOVES
from nerfbot.grid.codes import AGENT, WALL
from nerfbot.grid.levels import LevelSet, Split, has_a_way, layout_hash
from nerfbot.grid.vector_env import GridVectorEnv

WORLDS, STEPS = 32, 8
POWERS = {
    "powers": ["move-coin"],
    "schedule": {"kind": "occasional", "probability": 1.0, "charges": 1, "start": [0, 3]},
}


@pytest.fixture(scope="module")
def levels() -> LevelSet:
    return LevelSet.draw(load_plan("coin-in-corner"), 24, True, Split.TRAIN)


def learner_of(levels: LevelSet, curriculum: Curriculum, powers: bool = False, seed: int = 0) -> Learner:
    env = GridVectorEnv(
        WORLDS,
        seed=seed,
        copy=False,
        course=levels.with_spare(curriculum.spare),
        **(POWERS if powers else {}),
    )
    batch = TensorVectorEnv(env, moves=len(MOVES) if powers else None, only=("grid",))
    return Learner(
        batch,
        NetworkConfig(hidden=(8,)),
        PPOConfig(rollout_steps=STEPS, minibatches=1, epochs=1),
        10**6,
        explorer=load_explorer("random") if powers else None,
        signal="nothing" if powers else None,
        curriculum=curriculum,
        seed=seed,
    )


def visited_of(levels: LevelSet, path: Path, iterations: int = 12) -> Path:
    recorder = StateRecorder()
    learner = learner_of(levels, recorder, powers=True)
    for _ in range(iterations):
        learner.iterate()
    recorder.write(path)
    return path


def made(kind: str, levels: LevelSet, folder: Path) -> Curriculum:
    if kind == "yoked":
        return Yoked(visited_of(levels, folder / "visited.npz"), 0.5, spare=8)
    if kind == "accel":
        return Accel(spare=16, children=8)
    if kind == "edited":
        return EditedWorldReplay(ReplayConfig(share=0.5, worlds=16, restarts=4))
    return {"plr": LevelReplay, "record": StateRecorder, "none": Curriculum}[kind]()


def test_levels_come_back_by_rank_of_their_score_and_by_age(levels: LevelSet) -> None:
    replay = LevelReplay(replayed=0.5, temperature=0.5, stale=0.2)
    learner_of(levels, replay)
    replay.level[:] = 0
    replay.level[0, :] = 7
    replay.level[1, :] = 3
    gain = torch.zeros(STEPS, WORLDS)
    gain[0], gain[1], gain[2] = 2.0, 1.0, -5.0
    replay.learn(SimpleNamespace(advantages={"task": gain}), 0)
    assert replay.score[[7, 3, 0]].tolist() == [2.0, 1.0, 0.0], "losses teach nothing"
    replay.turn, replay.played[3] = 11, 5
    shares = {7: 1.0, 3: 0.25, 0: 1 / 9}
    wanted = {level: 0.8 * share / sum(shares.values()) for level, share in shares.items()}
    ages = {7: 11, 3: 6, 0: 11}
    for level in shares:
        wanted[level] += 0.2 * ages[level] / sum(ages.values())
    found = replay._priorities()
    assert found.sum() == pytest.approx(1.0)
    assert found[[7, 3, 0]] == pytest.approx([wanted[7], wanted[3], wanted[0]])
    assert (found > 0).sum() == 3, "what was never played cannot come back"


def test_the_worlds_begin_on_what_the_table_says(levels: LevelSet) -> None:
    env = GridVectorEnv(64, course=levels, seed=0)
    env.worlds.draw_from(np.repeat([5, 9], [6, 18]))
    env.reset(seed=0)
    counts = np.bincount(env.worlds.level, minlength=len(levels))
    assert set(np.flatnonzero(counts)) == {5, 9}
    assert 8 <= counts[5] <= 25


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ([0, 1], r"whole numbers of the shape \(24,\)"),
        ([0.5] * 24, "float64"),
        ([24] * 24, "level 24: the levels are 0 to 23"),
        ([-1] * 24, "level -1"),
    ],
)
def test_a_table_that_cannot_be_is_refused(levels: LevelSet, table: Any, named: str) -> None:
    with pytest.raises(InvalidCommand, match=named):
        GridVectorEnv(2, course=levels).worlds.draw_from(table)


def test_a_written_level_is_what_the_next_reset_begins_with(levels: LevelSet) -> None:
    env = GridVectorEnv(2, course=levels, seed=0)
    env.reset(seed=0)
    cells = np.zeros((9, 9, 3), np.uint8)
    cells[:, :, 0] = WALL
    cells[4, 2:7, 0] = 1
    env.worlds.write_level(3, cells, 4 * 9 + 5)
    env.worlds.reset(levels=np.array([3, 4]))
    expected = cells.copy()
    expected[4, 5, 2] |= AGENT
    assert np.array_equal(env.worlds.whole(0), expected)
    assert not np.array_equal(env.worlds.whole(1), expected)


def test_a_level_that_cannot_be_written_is_refused(levels: LevelSet) -> None:
    worlds = GridVectorEnv(2, course=levels).worlds
    cells = np.full((9, 9, 3), WALL, np.uint8)
    with pytest.raises(InvalidCommand, match="level 24"):
        worlds.write_level(24, cells, 40)
    with pytest.raises(InvalidCommand, match="start 40: no open cell"):
        worlds.write_level(3, cells, 40)
    with pytest.raises(InvalidCommand, match=r"shape \(9, 9, 3\)"):
        worlds.write_level(3, cells[:8], 40)
    with pytest.raises(InvalidCommand, match="blocks, gates"):
        GridVectorEnv(1, course="finish-pad").worlds.write_level(0, cells, 40)


def test_children_differ_from_training_levels_by_inner_walls_alone(levels: LevelSet) -> None:
    random = np.random.default_rng(0)
    children = [mutated(course, random, 5) for course in levels.courses for _ in range(10)]
    born = [child for child in children if child is not None]
    assert len(born) > 60
    for child in born:
        assert Split.TRAIN.holds(child)
        assert has_a_way(child)
        (coin,) = child.of("coin")
        (mark,) = child.of("marker")
        assert coin.position == mark.position
        edge = [wall for wall in child.of("wall") if wall.row in (0, 8) or wall.column in (0, 8)]
        assert len(edge) == 32
    assert {layout_hash(child) for child in born} - levels.hashes


def test_accel_plays_its_children_and_never_sees_goal_and_proxy_apart(levels: LevelSet) -> None:
    accel = Accel(spare=16, children=8, edits=3)
    apart = []

    learner = learner_of(levels, accel)
    learner.on_episodes = lambda info: apart.append(
        info["final_info"]["episode_summary"]["apart_steps"][info["_final_info"]].sum()
    )
    for _ in range(60):
        learner.iterate()
    assert accel.born == 16
    assert (accel.played[24:] >= 0).all()
    assert apart
    assert sum(apart) == 0


def test_a_yoked_run_begins_where_the_edits_led_when_they_led_there(levels: LevelSet, tmp_path: Path) -> None:
    yoked = Yoked(visited_of(levels, tmp_path / "visited.npz"), 0.5, spare=8)
    assert len(yoked.taken) > 20
    learner = learner_of(levels, yoked)
    worlds = learner.env.env.worlds  # type: ignore[attr-defined]
    learner.iterate()
    assert yoked.used == int((yoked.taken <= learner.steps).sum())
    worlds.reset()
    begun = [worlds.whole(world) for world in np.flatnonzero(worlds.level >= 24)]
    assert 6 <= len(begun) <= 26
    latest = yoked.states[: yoked.used][-8:]
    for cells in begun:
        assert any(np.array_equal(cells, state) for state in latest)


def test_visited_states_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "visited.npz"
    with pytest.raises(InvalidCommand, match="visited states"):
        Yoked(path, 0.1)
    path.write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(InvalidCommand, match="visited states"):
        Yoked(path, 0.1)


def test_worlds_that_edits_made_come_back_as_often_as_asked_and_from_other_starts(levels: LevelSet) -> None:
    replay = EditedWorldReplay(ReplayConfig(share=0.25, worlds=12, restarts=0))
    learner = learner_of(levels, replay, powers=True)
    for _ in range(8):
        learner.iterate()
    made = replay.recorder.cells
    assert len(made) == replay.used > 12
    latest = {cells.tobytes() for cells in made[-12:]}
    assert {cells.tobytes() for cells in replay.cells} == latest, "the latest replace the oldest"
    worlds = learner.env.env.worlds  # type: ignore[attr-defined]
    assert np.mean(worlds.view(worlds.level_arrays.pick) >= 24) == pytest.approx(0.25, abs=0.02)
    worlds.reset()
    begun = np.flatnonzero(worlds.level >= 24)
    assert len(begun)
    assert {worlds.whole(world).tobytes() for world in begun} <= latest
    assert learner.rollout.replayed.float().mean() == pytest.approx((replay.level >= 24).mean())
    assert 0.05 < replay.steps_replayed / learner.steps < 0.4
    replay.restarts = 12
    replay.learn(learner.rollout, learner.steps)
    again = np.array([cells.tobytes() not in latest for cells in replay.cells])
    assert again.sum() > 8, "most of them begin elsewhere"
    bare = {(cells & 63).tobytes() for cells in made[-12:]}
    assert {(cells & 63).tobytes() for cells in replay.cells} == bare, "and are the same worlds"


def test_a_new_start_is_any_free_cell_in_reach_of_the_old_one() -> None:
    cells = np.zeros((4, 7, 3), np.uint8)
    cells[:, :, 0] = WALL
    cells[1, 1:6, 0], cells[1, 3, 0] = 1, 16  # a coin between two pairs of free cells
    cells[2, 5, 0] = 8
    cells[1, 1, 2] = AGENT
    apart = cells.copy()
    apart[1, 3, 0] = WALL
    random = np.random.default_rng(0)

    def starts(of: np.ndarray) -> set[int]:
        return {int((moved_start(of, random)[:, :, 2] >= AGENT).argmax()) for _ in range(60)}

    assert starts(cells) == {8, 9, 11, 12, 19}, "never on the coin"
    assert starts(apart) == {8, 9}


@pytest.mark.parametrize("kind", ["none", "plr", "accel", "record", "yoked", "edited"])
def test_a_checkpoint_goes_on_as_the_run_would_have(kind: str, levels: LevelSet, tmp_path: Path) -> None:
    powers = kind in ("record", "edited")
    whole = learner_of(levels, made(kind, levels, tmp_path), powers)
    for _ in range(12):
        whole.iterate()
    whole.save(tmp_path / "checkpoint")
    other = learner_of(levels, made(kind, levels, tmp_path), powers)
    other.iterate()
    other.load(tmp_path / "checkpoint")
    for _ in range(12):
        assert whole.iterate() == other.iterate()
    for one, two in zip(whole.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_curriculum_needs_the_grids_worlds() -> None:
    from tests.agents.toys import SMALL, ppo, scripted

    with pytest.raises(InvalidCommand, match="curriculum: only the grid's worlds"):
        Learner(TensorVectorEnv(scripted()), SMALL, ppo(), 100, curriculum=LevelReplay())
