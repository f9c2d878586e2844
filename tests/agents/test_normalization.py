"""Running norms against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nerfbot.agents.normalization import ReturnScale, RunningNorm


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.floats(0.01, 1e3), st.floats(-1e3, 1e3))
def test_mean_and_variance_are_those_of_all_values_however_they_came(
    sizes: list[int], scale: float, at: float
) -> None:
    rng = np.random.default_rng(sum(sizes))
    norm, batches = RunningNorm((3,)), [rng.normal(at, scale, (size, 3)) for size in sizes]
    for batch in batches:
        norm.update(torch.from_numpy(batch))
    every = np.concatenate(batches)
    assert float(norm.count) == len(every)
    assert np.allclose(norm.mean, every.mean(0))
    assert np.allclose(norm.variance, every.var(0), rtol=1e-6, atol=1e-9 * scale**2)


def test_normalised_values_have_mean_0_and_deviation_1_and_are_cut_at_the_limit() -> None:
    norm, values = RunningNorm((2,), limit=2.0), torch.randn(5000, 2) * torch.tensor([3.0, 0.1]) + 7.0
    norm.update(values)
    seen = RunningNorm((2,), limit=99.0)
    seen.load_state_dict(norm.state_dict())
    assert torch.allclose(seen(values).mean(0), torch.zeros(2), atol=1e-3)
    assert torch.allclose(seen(values).std(0), torch.ones(2), atol=1e-3)
    assert norm(torch.full((1, 2), 1e9)).tolist() == [[2.0, 2.0]]


def test_a_value_that_never_changes_becomes_zero_and_not_nan() -> None:
    norm = RunningNorm((1,))
    norm.update(torch.full((10, 1), 4.0))
    assert norm(torch.full((1, 1), 4.0)).item() == 0.0


def test_the_return_scale_is_one_over_the_deviation_of_discounted_returns() -> None:
    rng = np.random.default_rng(0)
    scale, running, every = ReturnScale(3, 0.9, torch.device("cpu")), np.zeros(3), []
    for _ in range(4):
        reward, ended = rng.normal(size=(5, 3)), rng.random((5, 3)) < 0.3
        said = scale.update(torch.tensor(reward, dtype=torch.float32), torch.from_numpy(ended))
        for step in range(5):
            running = running * 0.9 + reward[step]
            every.append(running)
            running = running * ~ended[step]
        assert said == pytest.approx(1 / np.std(every), rel=1e-4)
