"""Heads against torch.distributions, and what environments are handed."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from torch import distributions as law

from nerfbot.agents.heads import CategoricalHead, GaussianHead, JointHead, MultiCategoricalHead, head_for
from nerfbot.errors import InvalidCommand
from tests.agents.toys import generator

RAW = torch.tensor([[0.3, -1.2, 2.0, 0.0, 1.1]])
MASK = torch.tensor([[True, False, True, True, False]])


def chi_square(counts: torch.Tensor, expected: torch.Tensor) -> float:
    open_now = expected > 0
    return float(((counts - expected).square() / expected)[open_now].sum())


def test_closed_actions_are_never_drawn_and_open_ones_as_often_as_softmax_says() -> None:
    head, count = CategoricalHead(5), 100_000
    drawn = head.sample(RAW.expand(count, -1), MASK.expand(count, -1), generator())
    counts = torch.bincount(drawn, minlength=5).double()
    assert counts[1] == counts[4] == 0
    expected = torch.softmax(RAW[0].double().masked_fill(~MASK[0], -torch.inf), -1) * count
    assert chi_square(counts, expected) < 13.8  # the 99.9 % quantile at 2 degrees of freedom


def test_a_closed_action_stays_shut_however_much_the_network_prefers_it() -> None:
    head = CategoricalHead(3)
    raw, mask = torch.tensor([[-1e6, 1e6, -1e6]]), torch.tensor([[True, False, True]])
    drawn = head.sample(raw.expand(1000, -1), mask.expand(1000, -1), generator())
    assert 1 not in drawn
    assert head.mode(raw, mask) != 1


@given(st.integers(1, 12), st.integers(0, 2**16))
def test_masked_log_probability_and_entropy_are_those_of_the_open_actions_alone(n: int, seed: int) -> None:
    draw = generator(seed)
    raw = torch.randn(7, n, generator=draw) * 5
    mask = torch.rand(7, n, generator=draw) < 0.6
    mask[torch.arange(7), torch.randint(n, (7,), generator=draw)] = True
    head = CategoricalHead(n)
    action = head.sample(raw, mask, draw)
    assert mask[torch.arange(7), action].all()
    log_prob, entropy = head.evaluate(raw, action, mask)
    for row in range(7):
        alone = law.Categorical(logits=raw[row][mask[row]])
        place = mask[row][: action[row]].sum()
        assert torch.isclose(log_prob[row], alone.log_prob(place), atol=1e-5)
        assert torch.isclose(entropy[row], alone.entropy(), atol=1e-5)
    closed = torch.stack([head.evaluate(raw, torch.full((7,), k), mask)[0].exp() for k in range(n)], 1)
    assert (closed[~mask] == 0).all()
    assert torch.allclose(closed.sum(1), torch.ones(7), atol=1e-5)


def test_gradients_of_masked_actions_are_finite_and_leave_closed_logits_alone() -> None:
    raw = RAW.clone().requires_grad_()
    log_prob, entropy = CategoricalHead(5).evaluate(raw, torch.tensor([2]), MASK)
    (log_prob + entropy).sum().backward()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()
    assert (raw.grad[~MASK] == 0).all()
    assert (raw.grad[MASK] != 0).all()


def test_without_a_mask_the_categorical_head_is_a_categorical_distribution() -> None:
    head, raw = CategoricalHead(5), torch.randn(50, 5, generator=generator())
    action = torch.arange(50) % 5
    log_prob, entropy = head.evaluate(raw, action, None)
    there = law.Categorical(logits=raw)
    assert torch.allclose(log_prob, there.log_prob(action), atol=1e-6)
    assert torch.allclose(entropy, there.entropy(), atol=1e-6)
    assert torch.equal(head.mode(raw, None), raw.argmax(-1))


def test_several_choices_are_independent_categoricals_under_masks_side_by_side() -> None:
    head, draw = MultiCategoricalHead([3, 2, 4]), generator()
    raw, mask = torch.randn(400, 9, generator=draw), torch.rand(400, 9, generator=draw) < 0.5
    mask[:, [0, 3, 5]] = True
    action = head.sample(raw, mask, draw)
    log_prob, entropy = head.evaluate(raw, action, mask)
    closed = raw.masked_fill(~mask, -torch.inf)
    each = [law.Categorical(logits=part) for part in closed.split([3, 2, 4], -1)]
    assert torch.allclose(log_prob, sum(d.log_prob(action[:, i]) for i, d in enumerate(each)), atol=1e-5)
    assert torch.allclose(entropy, sum(d.entropy() for d in each), atol=1e-5)
    assert torch.equal(head.mode(raw, mask), torch.stack([d.logits.argmax(-1) for d in each], -1))


def box_head(squash: bool = False) -> GaussianHead:
    head = GaussianHead(np.array([-2.0, 0.0], np.float32), np.array([2.0, 1.0], np.float32), squash)
    head.log_std.data = torch.tensor([-0.5, 0.7])
    return head


def test_the_gaussian_head_is_a_gaussian() -> None:
    head, raw = box_head(), torch.randn(20, 2, generator=generator())
    action = head.sample(raw, None, generator(1))
    log_prob, entropy = head.evaluate(raw, action, None)
    there = law.Independent(law.Normal(raw, head.log_std.exp()), 1)
    assert torch.allclose(log_prob, there.log_prob(action), atol=1e-5)
    assert torch.allclose(entropy, there.entropy(), atol=1e-5)
    many = head.sample(raw[:1].expand(50_000, -1), None, generator(2))
    assert torch.allclose(many.mean(0), raw[0], atol=0.03)
    assert torch.allclose(many.std(0), head.log_std.exp(), rtol=0.03)


def test_the_squashed_head_has_the_density_of_its_hyperbolic_tangent() -> None:
    head, raw = box_head(squash=True), torch.randn(200, 2, generator=generator())
    action = head.sample(raw, None, generator(1))
    log_prob, _ = head.evaluate(raw, action, None)
    there = law.TransformedDistribution(
        law.Independent(law.Normal(raw.double(), head.log_std.double().exp()), 1), [law.TanhTransform()]
    )
    wanted = there.log_prob(torch.tanh(action.double())).float()
    inside = (action.abs() < 6).all(-1)  # beyond it, atanh(tanh(x)) itself loses its digits
    assert inside.sum() > 150
    assert torch.allclose(log_prob[inside], wanted[inside], rtol=1e-4, atol=1e-4)


def test_the_squashed_density_stays_finite_far_out() -> None:
    raw = torch.tensor([[50.0, -50.0]])
    log_prob, _ = box_head(squash=True).evaluate(raw, raw, None)
    assert log_prob.isfinite().all()


def test_boxes_are_kept_to_by_clipping_and_by_squashing() -> None:
    far = torch.tensor([[-9.0, 9.0], [0.5, 0.25], [99.0, -99.0]])
    clipped = box_head().to_environment(far)
    assert clipped.tolist() == [[-2.0, 1.0], [0.5, 0.25], [2.0, 0.0]]
    squashed = box_head(squash=True).to_environment(far)
    assert squashed == pytest.approx(
        np.array([[-2, 1], [2 * np.tanh(0.5), (np.tanh(0.25) + 1) / 2], [2, 0]]), abs=1e-6
    )


def test_a_box_of_doubles_whose_bounds_float32_cannot_hold_is_kept_to_all_the_same() -> None:
    box = spaces.Box(-0.1, 0.1, (3,), np.float64)
    for squash in (False, True):
        for action in head_for(box, squash).to_environment(torch.tensor([[-99.0, 0.0, 99.0]])):
            assert box.contains(action)


SPACES = {
    "discrete": spaces.Discrete(4),
    "discrete from 3": spaces.Discrete(4, start=3),
    "multi": spaces.MultiDiscrete([3, 2]),
    "multi in rows": spaces.MultiDiscrete([[3, 2], [2, 5]]),
    "multi from": spaces.MultiDiscrete([3, 2], start=[5, -1]),
    "box": spaces.Box(-1.0, 1.0, (2, 2)),
    "tuple": spaces.Tuple(
        [spaces.Discrete(3, start=1), spaces.Box(-1.0, 1.0, (2,)), spaces.MultiDiscrete([2, 4])]
    ),
    "dict": spaces.Dict({"turn": spaces.Discrete(2), "push": spaces.Box(0.0, 5.0, (1,))}),
}


class Asked(gymnasium.Env):
    """Takes only actions of its space, and counts them."""

    def __init__(self, space: spaces.Space) -> None:
        self.action_space, self.observation_space = space, spaces.Box(0.0, 1.0, (1,))

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return np.zeros(1, np.float32), 0.0, False, False, {}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("squash", [False, True])
def test_an_environment_gets_actions_of_its_own_space(space: spaces.Space, squash: bool) -> None:
    envs = gymnasium.vector.SyncVectorEnv([lambda: Asked(space)] * 5)
    envs.reset()
    head = head_for(space, squash)
    raw, draw = torch.randn(5, head.outputs, generator=generator()) * 3, generator(1)
    for _ in range(20):
        action = head.sample(raw, None, draw)
        assert action.dtype == head.dtype
        assert action.shape == ((5, head.width) if head.width else (5,))
        envs.step(head.to_environment(action))
    envs.step(head.to_environment(head.mode(raw, None)))


def test_every_whole_number_of_a_space_is_reached() -> None:
    head = head_for(SPACES["multi from"])
    drawn = head.to_environment(head.sample(torch.zeros(2000, 5), None, generator()))
    assert {tuple(row) for row in drawn.tolist()} == {(a, b) for a in (5, 6, 7) for b in (-1, 0)}
    one = head_for(SPACES["discrete from 3"])
    assert set(one.to_environment(one.sample(torch.zeros(500, 4), None, generator())).tolist()) == {
        3,
        4,
        5,
        6,
    }


@pytest.mark.parametrize("name", ["tuple", "dict"])
def test_joined_heads_add_up(name: str) -> None:
    space = SPACES[name]
    head = head_for(space)
    assert isinstance(head, JointHead)
    raw = torch.randn(9, head.outputs, generator=generator())
    action = head.sample(raw, None, generator(1))
    log_prob, entropy = head.evaluate(raw, action, None)
    inner = space.spaces if name == "tuple" else list(space.spaces.values())
    total, spread, at, column = torch.zeros(9), torch.zeros(9), 0, 0
    for part in map(head_for, inner):
        width = max(1, part.width)
        mine = action[:, column : column + width].to(part.dtype)
        found = part.evaluate(
            raw[:, at : at + part.outputs], mine.squeeze(-1) if part.width == 0 else mine, None
        )
        total, spread = total + found[0], spread + found[1]
        at, column = at + part.outputs, column + width
    assert torch.allclose(log_prob, total, atol=1e-5)
    assert torch.allclose(entropy, spread, atol=1e-5)


@pytest.mark.parametrize("squash", [False, True])
def test_a_mask_shuts_the_discrete_parts_of_joined_heads_and_leaves_the_others_alone(squash: bool) -> None:
    head = head_for(SPACES["tuple"], squash)
    assert head.choices == 3 + 2 + 4
    one = torch.tensor([False, True, False, True, False, True, False, True, False])
    raw, mask = torch.randn(400, head.outputs, generator=generator()), one.expand(400, -1)
    action = head.sample(raw, mask, generator(1))
    choice, numbers, choices = head.to_environment(action)
    assert set(choice.tolist()) == {2}  # counted from 1
    assert set(choices[:, 0].tolist()) == {0}
    assert set(choices[:, 1].tolist()) == {0, 2}
    free, shut = head.evaluate(raw, action, None)[0], head.evaluate(raw, action, mask)[0]
    assert (shut > free).all()
    box = head_for(spaces.Box(-1.0, 1.0, (2,)), squash)
    everything = torch.ones(9, dtype=torch.bool)
    assert torch.equal(head.evaluate(raw, action, everything.expand(400, -1))[0], free)
    assert np.array_equal(head.to_environment(head.mode(raw, mask))[1], box.to_environment(raw[:, 3:5]))
    assert numbers.std() > 0.1


@pytest.mark.parametrize(
    ("space", "squash"),
    [
        (spaces.Text(3), False),
        (spaces.MultiBinary(3), False),
        (spaces.Box(0, 9, (2,), np.int32), False),
        (spaces.Box(-np.inf, np.inf, (2,)), True),
        (spaces.Tuple([spaces.Text(3)]), False),
    ],
)
def test_a_space_that_no_head_knows_is_refused_in_one_line(space: spaces.Space, squash: bool) -> None:
    with pytest.raises(InvalidCommand, match=r"^action space: [^\n]+$"):
        head_for(space, squash)
