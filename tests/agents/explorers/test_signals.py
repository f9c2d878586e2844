"""Signals on rollouts small enough to work out by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from nerfbot.agents.explorers.signals import (
    SIGNALS,
    Disagreement,
    FirstTouch,
    Nothing,
    Novelty,
    PositiveValueLoss,
    PossibleSurprise,
    Promise,
    RewardSurprise,
    Signal,
    SignedSurprise,
    TaskReturn,
    TDSurprise,
    ValueChange,
    load_signal,
)
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.errors import InvalidCommand
from tests.agents.toys import boxes


def rollout(**columns: list[float]) -> Any:
    """A rollout of one world; what is not given is 0."""
    steps = len(next(iter(columns.values())))
    given = {name: torch.tensor(column, dtype=torch.float32).view(-1, 1) for name, column in columns.items()}
    zero = torch.zeros(steps, 1)
    return SimpleNamespace(
        steps=steps,
        count=1,
        size=steps,
        device=zero.device,
        td_errors=given.get("errors", zero),
        rewards={"task": given.get("reward", zero)},
        values={"task": given.get("value", zero)},
        advantages={"task": given.get("advantage", zero)},
        contact=given.get("contact", zero).int(),
        predicted_reward=given.get("predicted"),
        powered=torch.zeros(steps, 1, dtype=torch.bool),
    )


def score(signal: Signal, *parts: Any, begin: int = 0) -> float:
    """A trial that begins at a step of the first of these rollouts and goes through all of them."""
    grid = spaces.Box(0, 255, (1, 3, 3), np.uint8)
    signal.start(1, {**boxes(x=1), "grid": grid}, torch.device("cpu"))
    everywhere = torch.ones(1, dtype=torch.bool)
    signal.total += 99.0  # what an earlier trial left behind
    signal.weight *= 0.1
    signal.open(everywhere)
    for part in parts:
        signal.prepare(part)
        for step in range(begin, part.steps):
            signal.step(step, everywhere, part)
        begin = 0
    return float(signal.close()[0])


@pytest.mark.parametrize(
    ("signal", "column", "wanted"),
    [
        (TDSurprise(0.5), "errors", 1 + 0.5 * 2 + 0.25 * 4),
        (SignedSurprise(0.5), "errors", -1 + 0.5 * 2 - 0.25 * 4),
        (PositiveValueLoss(0.5), "advantage", 1 + 0.25 * 4),
        (TaskReturn(0.5), "reward", 1 - 0.5 * 2 + 0.25 * 4),
        (Nothing(0.5), "errors", 0.0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Signal) else str(value),
)
def test_a_score_is_the_discounted_sum_over_the_trial_whatever_rollouts_it_spans(
    signal: Signal, column: str, wanted: float
) -> None:
    assert score(signal, rollout(**{column: [1.0, -2.0, 4.0]})) == pytest.approx(wanted)
    split = rollout(**{column: [50.0, 1.0, -2.0]}), rollout(**{column: [4.0]})
    assert score(signal, *split, begin=1) == pytest.approx(wanted)


def test_noise_cancels_in_the_signed_surprise_and_a_bias_stays() -> None:
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(4000, generator=draw).tolist()
    signed = sum(score(SignedSurprise(), rollout(errors=[x])) for x in noise) / 4000
    biased = sum(score(SignedSurprise(), rollout(errors=[x - 0.3])) for x in noise) / 4000
    assert abs(signed) < 0.05
    assert biased == pytest.approx(0.3, abs=0.05)
    assert sum(score(TDSurprise(), rollout(errors=[x])) for x in noise) / 4000 > 0.7


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        # A coin that was expected and came: 0.9 - 1. And one that did not: 0.9 - 0.
        ({"value": [0.1, 0.9, 0.5], "contact": [0, 9, 0], "reward": [0, 1, 0]}, -0.1),
        ({"value": [0.1, 0.9, 0.5], "contact": [0, 9, 0], "reward": [0, 0, 0]}, 0.9),
        # A reward some steps later is discounted; a second one does not count.
        ({"value": [0.9, 0, 0, 0], "contact": [9, 0, 0, 0], "reward": [0, 0, 1, 0]}, 0.9 - 0.25),
        ({"value": [0.9, 0, 0, 0], "contact": [9, 0, 0, 9], "reward": [1, 0, 0, 1]}, -0.1),
        ({"value": [0.9, 0, 0, 0], "contact": [9, 0, 0, 9], "reward": [0, 1, 1, 1]}, 0.4),
        # Rewards before the touch, and later touches, say nothing of it.
        ({"value": [0.3, 0.9, 0.7], "contact": [0, 9, 5], "reward": [7, 0, 0]}, 0.9),
        # Nothing is touched.
        ({"value": [0.9, 0.9], "contact": [0, 0], "reward": [0, 1]}, 0.0),
    ],
)
def test_the_first_touch_scores_the_value_before_it_less_the_next_reward(columns: Any, wanted: float) -> None:
    assert score(FirstTouch(0.5), rollout(**columns)) == pytest.approx(wanted)
    for cut in range(1, len(columns["value"])):
        early, late = ({n: c[part] for n, c in columns.items()} for part in (slice(cut), slice(cut, None)))
        assert score(FirstTouch(0.5), rollout(**early), rollout(**late)) == pytest.approx(wanted)


def test_a_trial_that_follows_another_begins_untouched() -> None:
    signal, everywhere = FirstTouch(0.5), torch.ones(1, dtype=torch.bool)
    score(signal, rollout(value=[0.9], contact=[9], reward=[1]))
    signal.open(everywhere)
    signal.step(0, everywhere, rollout(value=[0.4], contact=[0], reward=[1]))
    assert float(signal.close()[0]) == 0.0


def seen(pattern: int, count: int = 64, reward: float = 0.0) -> Any:
    """A rollout in which every observation is the same unit vector, and every step rewarded alike."""
    part = torch.zeros(4, count, 8)
    part[:, :, pattern] = 1.0
    rewards = torch.full((4, count), reward)
    return SimpleNamespace(
        steps=4,
        count=count,
        size=4 * count,
        device=part.device,
        observation={"x": part},
        flat_observation=lambda: {"x": part.flatten(0, 1)},
        rewards={"task": rewards},
        returns={"task": rewards * 2},
        td_errors=torch.zeros(4, count),
    )


def ready(signal: Signal) -> Signal:
    torch.manual_seed(0)
    signal.start(64, boxes(x=8), torch.device("cpu"))
    return signal


def test_novelty_falls_for_what_was_seen_and_stays_for_what_was_not() -> None:
    signal = ready(Novelty(network=NetworkConfig(hidden=(32,))))
    assert isinstance(signal, Novelty)
    before = [signal._error({"x": torch.eye(8)[[k]]}).item() for k in (0, 5)]
    for _ in range(100):
        signal.learn(seen(0))
    after = [signal._error({"x": torch.eye(8)[[k]]}).item() for k in (0, 5)]
    assert after[0] < 0.05 * before[0]
    assert after[1] > 0.5 * before[1]
    assert signal.per_step(seen(5)).mean() > 5 * signal.per_step(seen(0)).mean()


def test_novelty_learns_from_every_world() -> None:
    signal = ready(Novelty(network=NetworkConfig(hidden=(32,))))
    assert isinstance(signal, Novelty)
    part = seen(0)
    part.observation["x"][:, 1::4] = torch.eye(8)[3]  # what only every fourth world shows
    before = signal._error({"x": torch.eye(8)[[3]]}).item()
    for _ in range(100):
        signal.learn(part)
    assert signal._error({"x": torch.eye(8)[[3]]}).item() < 0.2 * before


@pytest.mark.parametrize("of", ["reward", "return"])
def test_the_ensemble_comes_to_agree_where_there_is_data(of: str) -> None:
    signal = ready(Disagreement(of, network=NetworkConfig(hidden=(32,)), learning_rate=3e-3))
    assert isinstance(signal, Disagreement)
    before = [signal.per_step(seen(k)).mean().item() for k in (0, 5)]
    for _ in range(200):
        signal.learn(seen(0, reward=1.0))
    after = [signal.per_step(seen(k)).mean().item() for k in (0, 5)]
    assert after[0] < 0.1 * before[0]
    assert after[1] > 3 * after[0]
    said = signal._predict({"x": torch.eye(8)[[0]]}).mean().item()
    assert said == pytest.approx(1.0 if of == "reward" else 2.0, abs=0.1)


@pytest.mark.parametrize("make", [Novelty, Disagreement])
def test_two_seeds_give_a_signal_two_streams_and_one_seed_one(make: Any) -> None:
    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        signal = make(network=NetworkConfig(hidden=(8,)))
        signal.start(64, boxes(x=8), torch.device("cpu"))
        return torch.rand(4, generator=signal.generator)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_goes_on_from_its_state_as_it_would_have(name: str) -> None:
    def signal() -> Signal:
        torch.manual_seed(3)
        made = load_signal(name)
        grid = {"grid": spaces.Box(0, 255, (3, 3, 3), np.uint8)}
        made.start(64, grid if name == "promise" else boxes(x=8), torch.device("cpu"))
        return made

    one, other = signal(), signal()
    if name in ("novelty", "value-disagreement", "reward-disagreement"):
        for _ in range(3):
            one.learn(seen(2, reward=1.0))
        other.learn(seen(4))
        other.load_state_dict(one.state_dict())
        for _ in range(3):
            assert one.learn(seen(1, reward=1.0)) == other.learn(seen(1, reward=1.0))
        assert torch.equal(one.per_step(seen(1)), other.per_step(seen(1)))
    else:
        one.total += torch.arange(64.0)
        other.load_state_dict(one.state_dict())
        assert torch.equal(other.close(), one.close())
        one.open(torch.ones(64, dtype=torch.bool))  # and the two share no memory
        assert not torch.equal(other.close(), one.close())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: load_signal("joy"), "unknown 'joy' .*td-surprise"),
        (lambda: Disagreement("value"), "reward or return"),
        (lambda: Disagreement(members=1), "2 or more"),
    ],
)
def test_a_signal_that_is_none_is_refused_in_one_line(make: Any, says: str) -> None:
    with pytest.raises(InvalidCommand, match=says):
        make()


def test_the_reward_surprise_is_the_largest_error_of_a_prediction_and_nothing_where_none_was_made() -> None:
    nan = float("nan")
    first = rollout(reward=[0.0, 1.0, 0.0], predicted=[0.1, 0.5, nan])
    later = rollout(reward=[0.0, 0.0], predicted=[-0.4, nan])
    assert score(RewardSurprise(), first, later) == pytest.approx(0.25)
    assert score(RewardSurprise(), first, later, begin=2) == pytest.approx(0.16)
    assert score(RewardSurprise(), rollout(reward=[0.0], predicted=[nan])) == 0.0


def test_the_value_change_is_what_the_first_step_after_the_use_tells_even_over_two_rollouts() -> None:
    before, after = rollout(value=[0.3, 0.5]), rollout(value=[0.9, 0.1])
    assert score(ValueChange(), rollout(value=[0.3, 0.5, 0.2]), begin=1) == pytest.approx(0.2)
    assert score(ValueChange(), before, after, begin=2) == pytest.approx(0.4)


def test_a_promise_is_the_best_rise_of_the_map_at_the_first_step_after_the_use() -> None:
    def mapped(*rows: list[float]) -> Any:
        told = rollout(reward=[0.0] * len(rows))
        told.reward_map = torch.tensor(rows).view(len(rows), 1, 3)
        return told

    assert score(
        Promise(), mapped([0.0, 0.5, 0.1], [0.4, 0.1, 0.2], [0.9, 0.9, 0.9]), begin=1
    ) == pytest.approx(0.4)
    assert score(Promise(), mapped([0.0, 0.5, 0.1], [0.0, 0.2, 0.1]), begin=1) == 0.0, (
        "a threat is no promise"
    )
    before, after = mapped([0.0, 0.0, 0.0], [0.1, 0.2, 0.3]), mapped([0.3, 0.3, 0.3])
    assert score(Promise(), before, after, begin=2) == pytest.approx(0.2)


def test_an_error_that_is_made_everywhere_is_no_surprise() -> None:
    """The first world has the trial; the others show what is usual of steps with a reward and without."""
    told = rollout(reward=[0.0])
    told.rewards = {"task": torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 0.0]])}
    told.predicted_reward = torch.tensor([[0.3, 0.1, 0.1], [0.0, 0.2, 0.9]])
    told.powered = torch.zeros(2, 3, dtype=torch.bool)
    told.powered[1, 2] = True  # somebody else's step says nothing of what is usual
    signal = RewardSurprise()
    signal.start(3, boxes(x=1), torch.device("cpu"))
    rows = torch.tensor([True, False, False])
    signal.open(rows)
    signal.prepare(told)
    signal.step(0, rows, told)
    assert float(signal.close()[0]) == pytest.approx(0.09 - 0.01)
    signal.step(1, rows, told)
    assert float(signal.close()[0]) == pytest.approx(1.0 - 0.64)
    assert signal.usual.tolist() == pytest.approx([0.01, 0.64])


def test_a_surprise_that_is_possible_is_the_square_of_what_the_use_added_to_the_map() -> None:
    def told(reward: list[float], predicted: list[float], *rows: list[float]) -> Any:
        made = rollout(reward=reward, predicted=predicted)
        made.reward_map = torch.tensor(rows).view(len(rows), 1, 3)
        return made

    nothing = [0.0, 0.0, 0.0]
    added = told(nothing, nothing, [0.0, 0.5, 0.1], [0.4, 0.5, 0.1], [0.9, 0.9, 0.9])
    assert score(PossibleSurprise(), added, begin=1) == pytest.approx(0.16)
    moved = told(nothing, nothing, [0.0, 0.5, 0.1], [0.5, 0.0, 0.1], [0.5, 0.0, 0.1])
    assert score(PossibleSurprise(), moved, begin=1) == pytest.approx(0.0)
    taken_away = told(nothing, nothing, [0.0, 0.5, 0.1], [0.0, 0.0, 0.1], [0.0, 0.0, 0.1])
    assert score(PossibleSurprise(), taken_away, begin=1) == 0.0
    found = told([0.0, 0.0, 1.0], nothing, [0.0, 0.5, 0.1], [0.4, 0.5, 0.1], [0.4, 0.0, 0.1])
    assert score(PossibleSurprise(), found, begin=1) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", [RewardSurprise, PossibleSurprise, Promise, ValueChange])
def test_a_signal_that_was_at_work_gives_its_state_to_a_new_one(kind: type[Signal]) -> None:
    told = rollout(reward=[0.0, 1.0], predicted=[0.2, 0.3], value=[0.1, 0.4])
    told.reward_map = torch.rand(2, 1, 3)
    one, other = kind(), kind()
    score(one, told)
    grid = spaces.Box(0, 255, (1, 3, 3), np.uint8)
    other.start(1, {"grid": grid}, torch.device("cpu"))
    other.load_state_dict(one.state_dict())
    everywhere = torch.ones(1, dtype=torch.bool)
    found = []
    for signal in (one, other):
        signal.open(everywhere)
        signal.prepare(told)
        signal.step(0, everywhere, told)
        found.append(float(signal.close()[0]))
    assert found[0] == found[1]
