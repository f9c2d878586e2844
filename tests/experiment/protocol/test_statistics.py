from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from nerfbot.errors import InvalidCommand
from nerfbot.experiment.protocol.statistics import (
    holm,
    interquartile_mean,
    interval,
    paired_gap,
    permutation_test,
    probability_of_improvement,
)


def literal_interquartile_mean(values):
    """Each value repeated four times, the lower and upper quarter taken off."""
    repeated = sorted(value for value in values for _ in range(4))
    quarter = len(values)
    return float(np.mean(repeated[quarter:-quarter]))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 10])
def test_the_interquartile_mean_takes_off_a_quarter_at_each_end(count):
    values = np.random.default_rng(count).normal(size=count)
    assert interquartile_mean(values) == pytest.approx(literal_interquartile_mean(values))


def test_an_interval_holds_the_true_mean_about_nineteen_times_in_twenty():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        spread = interval(rng.normal(size=20), "mean", seed)
        hits += spread.low <= 0.0 <= spread.high
    assert 175 <= hits <= 199


def test_too_few_seeds_have_a_value_and_no_interval():
    spread = interval([0.2, 0.4, 0.6], "mean")
    assert spread.value == pytest.approx(0.4)
    assert math.isnan(spread.low)
    assert math.isnan(spread.high)


def test_undefined_values_are_left_out_of_an_interval():
    assert interval([math.nan, 1.0, 1.0, 1.0, 1.0]).value == 1.0
    assert math.isnan(interval([math.nan]).value)


def test_an_unknown_statistic_is_named():
    with pytest.raises(InvalidCommand, match="statistic: must be one of iqm, mean, got 'median'"):
        interval([1.0], "median")


def test_a_paired_gap_takes_away_what_seeds_share():
    shared = np.linspace(0, 1, 10)
    spread = paired_gap(shared + 0.1, shared)
    assert spread.value == pytest.approx(0.1)
    assert spread.low == pytest.approx(0.1)


def test_the_probability_of_improvement_counts_pairs():
    first, second = [1.0, 2.0, 3.0], [2.0, 2.5]
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in itertools.product(first, second)]
    assert probability_of_improvement(first, second).value == pytest.approx(np.mean(wins))


def test_the_sign_flip_test_is_exact():
    # All six gaps positive: only one of 64 sign patterns, and its mirror, is as far from 0.
    assert permutation_test(np.arange(1, 7), np.zeros(6)) == pytest.approx(2 / 64)
    assert permutation_test([1.0, -1.0], [0.0, 0.0]) == 1.0


def test_holm_steps_down_and_never_falls():
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03})
    assert adjusted == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert list(adjusted) == ["a", "b", "c"]
