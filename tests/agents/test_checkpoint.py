"""A run that was saved in the middle and goes on is the run that was never interrupted."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from nerfbot.agents.explorers import load_explorer
from nerfbot.agents.hooks import Bonus
from nerfbot.agents.learner import Learner
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.policy import load_policy
from nerfbot.agents.tensor_env import TensorVectorEnv
from nerfbot.errors import InvalidCommand
from nerfbot.grid.action_menu import MOVES
from nerfbot.grid.vector_env import GridVectorEnv
from tests.agents.toys import SMALL, Corridor, ppo

MEMORY = NetworkConfig(hidden=(16,), memory=8)
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "memory": {"network": MEMORY},
    "novelty": {"bonus": Bonus("novelty")},
    "disagreement": {"bonus": Bonus("reward-disagreement")},
    "random": {"explorer": "random"},
    "bandit": {"explorer": "bandit", "bonus": Bonus("novelty")},
    "regressor": {"explorer": "regressor", "bonus": Bonus("value-disagreement"), "network": MEMORY},
    "policy": {"explorer": "policy"},
    "shuffled": {"explorer": "regressor", "shuffled": True},
}
NORMALISED = {"normalise_observations": True, "normalise_rewards": True}


def learner_of(
    explorer: str | None = None,
    shuffled: bool = False,
    network: NetworkConfig = SMALL,
    stateful: bool = True,
    seed: int = 5,
    count: int = 8,
    **keywords: Any,
) -> Learner:
    options = {"network": SMALL} if explorer in ("regressor", "policy") else {}
    options |= {"batch": 16} if explorer == "policy" else {}
    moves = Corridor.MOVES if explorer else None
    env = TensorVectorEnv(Corridor(count, stateful=stateful), moves=moves)
    chosen = None if explorer is None else load_explorer(explorer, shuffled, **options)
    return Learner(env, network, ppo(**NORMALISED), 8 * 6 * 12, explorer=chosen, seed=seed, **keywords)


def whole(value: Any, place: str = "") -> dict[str, Any]:
    """A nested state as one flat dict of tensors and plain values."""
    if isinstance(value, dict):
        return {k: v for name, part in value.items() for k, v in whole(part, f"{place}.{name}").items()}
    if isinstance(value, list | tuple):
        return {k: v for i, part in enumerate(value) for k, v in whole(part, f"{place}.{i}").items()}
    return {place: value}


def assert_same(a: Any, b: Any) -> None:
    first, second = whole(a), whole(b)
    assert list(first) == list(second)
    for name, value in first.items():
        equal = (
            torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else (value == second[name])
        )
        assert equal if isinstance(equal, bool) else equal.all(), name


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_restored_run_equals_the_uninterrupted_one_bit_for_bit(
    case: dict[str, Any], tmp_path: Path
) -> None:
    one = learner_of(**case)
    for _ in range(5):
        one.iterate()
    path = tmp_path / "checkpoint.pt"
    one.save(path, {"episodes": 12, "note": "half"})
    wanted = [one.iterate() for _ in range(5)]
    for _ in range(2):  # and a file is good for more than one time
        other = learner_of(**case)
        other.iterate()
        assert other.load(path) == {"episodes": 12, "note": "half"}
        assert [other.iterate() for _ in range(5)] == wanted
        assert_same(other.state_dict(), one.state_dict())


def test_the_state_itself_is_a_copy_that_learning_does_not_change() -> None:
    learner = learner_of("regressor", bonus=Bonus("novelty"))
    for _ in range(3):
        learner.iterate()
    state = learner.state_dict()
    wanted = [learner.iterate() for _ in range(3)]
    for _ in range(2):
        learner.load_state_dict(state)
        assert [learner.iterate() for _ in range(3)] == wanted


def test_a_restored_explorer_goes_on_learning() -> None:
    learner = learner_of("regressor")
    for _ in range(3):
        learner.iterate()
    other = learner_of("regressor")
    other.load_state_dict(learner.state_dict())
    before = [p.clone() for p in other.hooks[0].explorer.model.parameters()]
    for _ in range(3):
        other.iterate()
    after = list(other.hooks[0].explorer.model.parameters())
    assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_where_worlds_cannot_be_put_back_the_run_goes_on_in_new_episodes() -> None:
    learner = learner_of("bandit", stateful=False)
    for _ in range(3):
        learner.iterate()
    assert learner.hooks[0].trials is not None
    assert learner.hooks[0].trials.pending
    other = learner_of("bandit", stateful=False)
    other.load_state_dict(learner.state_dict())
    assert other.steps == learner.steps
    assert other.is_first.all()
    assert other.hooks[0].trials is not None
    assert not other.hooks[0].trials.pending  # trials of episodes that will not go on are dropped
    assert not other.hooks[0].trials.open.any()
    assert torch.equal(other.hooks[0].explorer.average, learner.hooks[0].explorer.average)
    other.iterate()


def test_a_run_on_the_grid_resumes_bit_for_bit(tmp_path: Path) -> None:
    def learner() -> Learner:
        env = GridVectorEnv(
            16,
            copy=False,
            seed=3,
            course="coin-in-corner",
            powers=["move-coin", "teleport"],
            schedule={"kind": "occasional", "probability": 0.5},
        )
        network = NetworkConfig(kind="egocentric", hidden=(16, 16))
        explorer = load_explorer("regressor", network={"kind": "egocentric", "hidden": (8, 8)})
        batch = TensorVectorEnv(env, moves=len(MOVES))
        return Learner(batch, network, ppo(rollout_steps=32), 10**6, explorer=explorer, bonus=Bonus(), seed=3)

    one, path = learner(), tmp_path / "checkpoint.pt"
    for _ in range(6):
        one.iterate()
    one.save(path)
    wanted = [one.iterate() for _ in range(6)]
    assert any(told.get("explorer_score", 0.0) > 0 for told in wanted)
    assert one.rollout.contact.any()
    other = learner()
    other.load(path)
    assert [other.iterate() for _ in range(6)] == wanted
    state, same = one.state_dict(), other.state_dict()
    state["worlds"], same["worlds"] = ({k: str(v) for k, v in s["worlds"].items()} for s in (state, same))
    assert_same(state, same)


class Harm:
    """Runs code of its author's where it is unpickled."""

    def __reduce__(self) -> Any:
        return (print, ("harm",))


def spoil(kind: str, path: Path) -> None:
    data = path.read_bytes()
    if kind == "missing":
        path.unlink()
    if kind == "empty":
        path.write_bytes(b"")
    if kind == "cut":
        path.write_bytes(data[: len(data) // 2])
    if kind == "text":
        path.write_text("steps: 12\n")
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Harm(), protocol=2))
    if kind == "code":
        torch.save({"format": "nerfbot-checkpoint-1", "steps": Harm()}, path)
    if kind == "another format":
        torch.save({"model": torch.zeros(3)}, path)
    if kind == "a tensor":
        torch.save(torch.zeros(3), path)
    if kind == "nothing in it":
        torch.save({"format": "nerfbot-checkpoint-1"}, path)
    if kind == "a folder":
        path.unlink()
        path.mkdir()


KINDS = (
    "missing",
    "empty",
    "cut",
    "text",
    "pickle",
    "code",
    "another format",
    "a tensor",
    "nothing in it",
    "a folder",
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_no_checkpoint_gives_one_line_and_runs_nothing(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learner, path = learner_of(), tmp_path / "checkpoint.pt"
    learner.save(path)
    spoil(kind, path)
    with pytest.raises(InvalidCommand, match=r"^checkpoint: ") as caught:
        learner.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert "harm" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"network": NetworkConfig(hidden=(17,))}, r"network\.hidden = \[16\], this one \[17\]"),
        ({"count": 9}, "worlds = 8, this one 9"),
        ({"seed": 6}, "seed = 5, this one 6"),
        ({"explorer": "random"}, "explorer = Bandit, this one Explorer"),
        ({"shuffled": True}, "explorer = Bandit, this one Shuffled Bandit"),
        ({"signal": "novelty"}, "signal = FirstTouch, this one Novelty"),
        ({"bonus": Bonus()}, "this one"),
        ({"explorer": None}, "this one"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused_in_one_line_and_changes_nothing(
    changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pt"
    learner_of("bandit").save(path)
    other = learner_of(**{"explorer": "bandit", **changes})
    before = other.state_dict()
    with pytest.raises(InvalidCommand, match=says) as caught:
        other.load(path)
    assert "\n" not in str(caught.value)
    assert_same(other.state_dict(), before)


def test_a_full_disk_gives_one_line_and_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    learner, path = learner_of("bandit"), tmp_path / "checkpoint.pt"
    learner.save(path, {"which": 1})
    (tmp_path / "checkpoint.pt.part").symlink_to("/dev/full")
    with pytest.raises(InvalidCommand, match=r"cannot be written: .*No space left"):
        learner.save(path, {"which": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert learner.load(path) == {"which": 1}


def test_only_plain_values_may_be_kept_beside_a_run(tmp_path: Path) -> None:
    with pytest.raises(InvalidCommand, match=r"extra\.who: object cannot be saved"):
        learner_of().save(tmp_path / "checkpoint.pt", {"who": object()})
    assert not list(tmp_path.iterdir())


def test_a_learner_takes_up_what_a_policy_of_another_run_knows(tmp_path: Path) -> None:
    first, second = learner_of(seed=1), learner_of(seed=2)
    first.iterate()
    first.policy().save(tmp_path)
    second.load_weights(load_policy(tmp_path))
    for mine, theirs in ((second.network, first.network), (second.norms, first.norms)):
        for name, value in mine.state_dict().items():
            assert torch.equal(value, theirs.state_dict()[name]), name
    assert first.return_scale is not None
    assert second.return_scale is not None
    assert second.return_scale.norm.count == first.return_scale.norm.count > 0
    assert second.steps == 0
    before = copy.deepcopy(second.network.state_dict())
    second.iterate()
    assert any(not torch.equal(value, before[name]) for name, value in second.network.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"network": NetworkConfig(hidden=(17,))}, r"network.hidden = \[17\], this one \[16\]"),
        ({"explorer": "random"}, "action.n = 3, this one 5"),
        ({"bonus": Bonus("novelty")}, "critics = "),
    ],
)
def test_a_policy_that_was_made_otherwise_is_not_taken_up_and_nothing_changes(
    changes: dict[str, Any], says: str
) -> None:
    learner, other = learner_of(), learner_of(**changes)
    before = copy.deepcopy(learner.network.state_dict())
    with pytest.raises(InvalidCommand, match=says):
        learner.load_weights(other.policy())
    for name, value in learner.network.state_dict().items():
        assert torch.equal(value, before[name])
