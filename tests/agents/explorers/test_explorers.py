"""Explorers: what they may choose, and what they find out from scores."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nerfbot.agents.explorers import (
    EXPLORERS,
    Bandit,
    Explorer,
    Linear,
    Regressor,
    Shuffled,
    load_explorer,
)
from nerfbot.agents.explorers.base import rank_logits
from nerfbot.agents.explorers.trials import Trials
from nerfbot.agents.network_config import NetworkConfig
from tests.agents.toys import boxes, generator

MOVES, ACTIONS = 3, 9
NAMES = ("stay", "east", "west", "lift red", "lift blue", "drop red", "drop blue", "drop green", "jump")
SMALL = NetworkConfig(hidden=(32,), activation="relu")
OPTIONS: dict[str, dict[str, Any]] = {
    "random": {},
    "bandit": {},
    "linear": {},
    "regressor": {"network": SMALL, "learning_rate": 3e-3},
    "policy": {"network": SMALL, "learning_rate": 1e-2, "batch": 128},
}


def ready(explorer: Explorer, seed: int = 0) -> Explorer:
    torch.manual_seed(seed)
    explorer.start(boxes(x=4), NAMES, MOVES, generator(seed), torch.device("cpu"))
    return explorer


def explorer_of(name: str, shuffled: bool = False, seed: int = 0) -> Explorer:
    return ready(load_explorer(name, shuffled, **OPTIONS[name]), seed)


def situation(count: int, draw: torch.Generator) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Observations in two kinds, told by their first number; every move and power open."""
    seen = torch.randn(count, 4, generator=draw) * 0.3
    seen[:, 0] = torch.where(torch.rand(count, generator=draw) < 0.5, 1.0, -1.0)
    return {"x": seen}, torch.ones(count, ACTIONS, dtype=torch.bool)


def taught(explorer: Explorer, score: Any, rounds: int, count: int = 64) -> Explorer:
    """An explorer after so many rounds of `count` trials, each scored by what was seen and done."""
    draw = generator(11)
    for _ in range(rounds):
        seen, mask = situation(count, draw)
        action, log_prob = explorer.act(seen, mask)
        explorer.learn(Trials(seen, mask, action, log_prob, score(seen["x"], action, draw)))
    return explorer


def share(explorer: Explorer, action: int, sign: float | None = None) -> float:
    """How often it chooses an action, in either kind of situation or in one."""
    seen, mask = situation(4000, generator(99))
    rows = torch.ones(4000, dtype=torch.bool) if sign is None else seen["x"][:, 0] == sign
    chosen, _ = explorer.act({"x": seen["x"][rows]}, mask[rows])
    return float((chosen == action).float().mean())


def noise(draw: torch.Generator, like: torch.Tensor) -> torch.Tensor:
    return torch.randn(len(like), generator=draw)


def biased(seen: torch.Tensor, action: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Loud noise after every action but the sixth, whose score is always a little off."""
    return torch.where(action == 6, torch.full((len(seen),), -0.6), 0.7 * noise(draw, seen))


def pure_noise(seen: torch.Tensor, action: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    return noise(draw, seen)


def by_state(seen: torch.Tensor, action: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Action 4 shows something in one kind of situation, action 7 in the other."""
    answer = torch.where(seen[:, 0] > 0, 4, 7)
    return (action == answer).float() + 0.1 * noise(draw, seen)


@pytest.mark.parametrize("name", EXPLORERS)
@pytest.mark.parametrize("shuffled", [False, True])
def test_no_explorer_ever_takes_a_move_or_a_power_that_is_shut(name: str, shuffled: bool) -> None:
    explorer = taught(explorer_of(name, shuffled), biased, 3)
    draw = generator(5)
    seen, _ = situation(3000, draw)
    mask = torch.rand(3000, ACTIONS, generator=draw) < 0.3
    mask[torch.arange(3000), torch.randint(MOVES, ACTIONS, (3000,), generator=draw)] = True
    given_mask = mask.clone()
    action, log_prob = explorer.act(seen, mask)
    assert (action >= MOVES).all()
    assert mask[torch.arange(3000), action].all()
    assert torch.equal(mask, given_mask)
    assert log_prob.isfinite().all()
    assert (log_prob <= 0).all()
    alone = mask[:, MOVES:].sum(1) == 1
    assert alone.any()
    assert torch.allclose(log_prob[alone], torch.zeros(int(alone.sum())), atol=1e-5)


def test_the_random_explorer_is_uniform_over_what_is_open() -> None:
    mask = torch.ones(30_000, ACTIONS, dtype=torch.bool)
    mask[:, [4, 8]] = False
    action, log_prob = explorer_of("random").act({"x": torch.zeros(30_000, 4)}, mask)
    counts = torch.bincount(action, minlength=ACTIONS).double()
    expected = 30_000 / 4
    assert counts[[0, 1, 2, 4, 8]].sum() == 0
    assert ((counts[[3, 5, 6, 7]] - expected).square() / expected).sum() < 16.3  # 99.9 %, 3 degrees
    assert torch.allclose(log_prob, torch.tensor(0.25).log())


@given(st.integers(1, 8), st.floats(0.0, 3.0), st.floats(0.0, 1.0), st.integers(0, 2**16))
def test_ranks_give_the_shares_that_they_promise(count: int, power: float, floor: float, seed: int) -> None:
    draw = generator(seed)
    score = torch.randn(1, count, generator=draw) * 10 ** float(torch.randn((), generator=draw) * 2)
    open_now = torch.rand(1, count, generator=draw) < 0.7
    open_now[0, torch.randint(count, (1,), generator=draw)] = True
    shares = torch.softmax(rank_logits(score, open_now, power, floor).masked_fill(~open_now, -torch.inf), -1)[
        0
    ]
    order = sorted((k for k in range(count) if open_now[0, k]), key=lambda k: -float(score[0, k]))
    weights = [(rank + 1) ** -power for rank in range(len(order))]
    for rank, action in enumerate(order):
        wanted = (1 - floor) * weights[rank] / sum(weights) + floor / len(order)
        assert shares[action] == pytest.approx(wanted, abs=1e-5)


def test_the_bandit_finds_the_biased_action_among_noisy_ones() -> None:
    bandit = taught(explorer_of("bandit"), biased, 40)
    assert isinstance(bandit, Bandit)
    assert bandit.average.abs().argmax() == 6
    assert bandit.average[6] == pytest.approx(-0.6, abs=0.01)
    assert share(bandit, 6) > 0.35  # rank 1 of 6 has 0.9 * 0.42 + 0.1 / 6


def test_pure_noise_holds_no_lead_with_the_bandit() -> None:
    bandit, leads = explorer_of("bandit"), set()
    for _ in range(40):
        taught(bandit, pure_noise, 1)
        assert isinstance(bandit, Bandit)
        leads.add(int(bandit.average.abs().argmax()))
        assert bandit.average.abs().max() < 1.0  # one trial in three is louder than that
    assert len(leads) > 1
    assert leads <= set(range(MOVES, ACTIONS))


def test_before_it_knows_anything_the_bandit_has_no_favourite_of_the_menus_order() -> None:
    firsts = {int(ready(Bandit(), seed).tie[MOVES:].argmax()) for seed in range(20)}  # type: ignore[attr-defined]
    assert len(firsts) > 3


@pytest.mark.parametrize("name", ["regressor", "policy"])
def test_an_answer_that_depends_on_the_state_is_found_by_what_looks_at_it(name: str) -> None:
    explorer = taught(explorer_of(name), by_state, 120)
    shares = {(action, sign): share(explorer, action, sign) for action in (4, 7) for sign in (1.0, -1.0)}
    assert shares[4, 1.0] > 0.34
    assert shares[7, -1.0] > 0.34
    assert shares[4, 1.0] > 1.8 * shares[4, -1.0]
    assert shares[7, -1.0] > 1.8 * shares[7, 1.0]


def test_the_bandit_cannot_tell_situations_apart() -> None:
    bandit = taught(explorer_of("bandit"), by_state, 120)
    for action in (4, 7):
        assert share(bandit, action, 1.0) == pytest.approx(share(bandit, action, -1.0), abs=0.05)


def test_noise_does_not_lead_the_regressor_astray() -> None:
    regressor = taught(explorer_of("regressor"), biased, 120)
    assert isinstance(regressor, Regressor)
    said = regressor.model(situation(500, generator(3))[0]).mean(0).detach()
    assert said[MOVES:].abs().argmax() + MOVES == 6
    assert said[6] == pytest.approx(-0.6, abs=0.15)


@pytest.mark.parametrize(("name", "score", "action"), [("bandit", biased, 6), ("regressor", by_state, 4)])
def test_shuffled_scores_teach_nothing(name: str, score: Any, action: int) -> None:
    sign = None if name == "bandit" else 1.0
    found = share(taught(explorer_of(name), score, 120), action, sign)
    lost = [
        share(taught(explorer_of(name, shuffled=True, seed=seed), score, 120), action, sign)
        for seed in range(3)
    ]
    assert found > 0.35
    assert sum(lost) / 3 < 0.3


def test_shuffling_keeps_the_scores_and_leaves_the_trials_as_they_were() -> None:
    class Heard(Explorer):
        def learn(self, trials: Trials) -> dict[str, float]:
            self.heard = trials
            return {}

    inner = Heard()
    explorer = ready(Shuffled(inner))
    seen, mask = situation(50, generator())
    action, log_prob = explorer.act(seen, mask)
    given_trials = Trials(seen, mask, action, log_prob, torch.arange(50.0))
    explorer.learn(given_trials)
    assert sorted(inner.heard.score.tolist()) == list(range(50))
    assert inner.heard.score.tolist() != list(range(50))
    assert given_trials.score.tolist() == list(range(50))
    assert torch.equal(inner.heard.action, action)


@pytest.mark.parametrize("name", EXPLORERS)
@pytest.mark.parametrize("shuffled", [False, True])
def test_an_explorer_goes_on_from_its_state_as_it_would_have(name: str, shuffled: bool) -> None:
    def go_on(explorer: Explorer) -> torch.Tensor:
        explorer.generator.manual_seed(5)
        taught(explorer, by_state, 5, count=48)
        return explorer.act(*situation(200, generator(8)))[0]

    one, other, third = (explorer_of(name, shuffled, seed=seed) for seed in (1, 2, 3))
    taught(one, by_state, 4, count=48)  # 48 trials a round leave some waiting for the policy's batch
    taught(other, pure_noise, 3, count=48)
    state = one.state_dict()
    other.load_state_dict(state)
    wanted = go_on(one)
    assert torch.equal(go_on(other), wanted)
    third.load_state_dict(state)  # which has not changed by that
    assert torch.equal(go_on(third), wanted)


def by_word(seen: torch.Tensor, action: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Whatever is red shows something, as far as it was tried: "drop red" never was."""
    return (action == NAMES.index("lift red")).float() + 0.3 * noise(draw, seen)


@pytest.mark.parametrize("sampled", [False, True])
def test_what_was_learned_of_a_word_is_expected_of_every_power_with_it(sampled: bool) -> None:
    explorer = ready(Linear(sampled=sampled, optimism=0.0))
    draw = generator(3)
    tried = torch.tensor([NAMES.index(name) for name in ("lift red", "lift blue", "drop blue", "jump")])
    for _ in range(20):
        seen, mask = situation(16, draw)
        action = tried[torch.randint(4, (16,), generator=draw)]
        explorer.learn(Trials(seen, mask, action, torch.zeros(16), by_word(seen["x"], action, draw)))
    assert share(explorer, NAMES.index("lift red")) > 0.5
    _, mask = situation(4000, draw)
    mask[:, NAMES.index("lift red")] = False
    chosen, _ = explorer.act({"x": torch.zeros(4000, 4)}, mask)
    often = torch.bincount(chosen, minlength=ACTIONS)
    assert often.argmax() == NAMES.index("drop red")


def test_the_linear_explorer_finds_the_large_score_among_noise_and_follows_it_when_it_moves() -> None:
    def at(place: int) -> Any:
        return lambda seen, action, draw: (action == place).float() + 0.3 * noise(draw, seen).abs()

    explorer = taught(ready(Linear()), at(6), 20)
    assert share(explorer, 6) > 0.5
    taught(explorer, at(3), 60)
    assert share(explorer, 3) > 0.5
    assert share(explorer, 6) < 0.3


def test_the_linear_explorer_cares_for_no_scores_unit() -> None:
    def loud(seen: torch.Tensor, action: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
        return 1000.0 * by_word(seen, action, draw)

    one, other = (taught(ready(Linear()), score, 10) for score in (by_word, loud))
    assert isinstance(one, Linear)
    assert isinstance(other, Linear)
    assert torch.allclose(one.mean, other.mean, atol=1e-6)


def test_doubt_comes_back_over_the_horizon() -> None:
    explorer = ready(Linear(horizon=100))
    assert isinstance(explorer, Linear)

    def doubt(name: str) -> float:
        row = explorer.features[NAMES.index(name)]
        return float(row @ explorer.covariance @ row)

    def teach(name: str, count: int) -> None:
        seen, mask = situation(count, generator())
        action = torch.full((count,), NAMES.index(name))
        explorer.learn(Trials(seen, mask, action, torch.zeros(count), torch.ones(count)))

    before = doubt("jump")
    teach("jump", 50)
    known = doubt("jump")
    teach("lift red", 90)
    assert known < 0.2 * before
    assert known + 0.5 * before < doubt("jump") < known + 1.2 * before


def test_a_network_that_reads_words_expects_of_the_untried_what_it_learned_of_their_words() -> None:
    regressor = ready(Regressor(words=8, network=SMALL, learning_rate=1e-2))
    assert isinstance(regressor, Regressor)
    draw = generator(3)
    tried = torch.tensor([NAMES.index(name) for name in ("lift red", "lift blue", "drop blue", "drop green")])
    for _ in range(60):
        seen, mask = situation(64, draw)
        action = tried[torch.randint(4, (64,), generator=draw)]
        regressor.learn(Trials(seen, mask, action, torch.zeros(64), (action == tried[0]).float()))
    said = regressor.model(situation(200, draw)[0]).detach().mean(0)
    assert said[NAMES.index("lift red")] > 0.7
    untried = {name: float(said[NAMES.index(name)]) for name in ("drop red", "jump")}
    assert untried["drop red"] > 0.25
    assert untried["drop red"] > untried["jump"] + 0.2
