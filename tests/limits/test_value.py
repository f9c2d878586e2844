import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nerfbot.limits import Distribution, Limit
from nerfbot.limits.value import high, low, mean

U = (np.arange(20000) + 0.5) / 20000

BOUNDS = [
    (Distribution(uniform=(1.0, 3.0)), 1.0, 3.0, 2.0),
    (Distribution(loguniform=(1.0, math.e)), 1.0, math.e, math.e - 1.0),
    (Distribution(loguniform=(2.0, 8.0)), 2.0, 8.0, 6.0 / math.log(4.0)),
    (Distribution(loguniform=(2.0, 2.0)), 2.0, 2.0, 2.0),
    (Distribution(triangular=(0.0, 1.0, 5.0)), 0.0, 5.0, 2.0),
    (Distribution(triangular=(2.0, 2.0, 2.0)), 2.0, 2.0, 2.0),
    (Distribution(triangular=(1.0, 1.0, 4.0)), 1.0, 4.0, 2.0),
    (Distribution(choice=(3.0, 1.0, 2.0, 6.0)), 1.0, 6.0, 3.0),
    (Distribution(choice=(0.0,)), 0.0, 0.0, 0.0),
]


@pytest.mark.parametrize(("distribution", "least", "most", "expected"), BOUNDS)
def test_bounds_and_mean_are_those_of_the_draws(distribution, least, most, expected):
    assert (distribution.low, distribution.high) == (least, most)
    assert distribution.mean == pytest.approx(expected, abs=1e-15)
    drawn = distribution.sample(U)
    assert drawn.min() >= least - 1e-12
    assert drawn.max() <= most + 1e-12
    assert drawn.mean() == pytest.approx(expected, rel=2e-3, abs=1e-9)
    assert drawn.shape == U.shape


@pytest.mark.parametrize(
    ("distribution", "u", "expected"),
    [
        (Distribution(uniform=(1.0, 3.0)), [0.0, 0.25, 0.5], [1.0, 1.5, 2.0]),
        (Distribution(loguniform=(1.0, 16.0)), [0.0, 0.25, 0.5], [1.0, 2.0, 4.0]),
        (Distribution(triangular=(0.0, 1.0, 2.0)), [0.0, 0.125, 0.5, 0.875], [0.0, 0.5, 1.0, 1.5]),
        (Distribution(triangular=(1.0, 1.0, 5.0)), [0.0, 0.75], [1.0, 3.0]),
        (Distribution(triangular=(1.0, 5.0, 5.0)), [0.25, 0.0], [3.0, 1.0]),
        (Distribution(triangular=(0.0, 3.0, 4.0)), [0.75, 0.9375], [3.0, 3.5]),
        (Distribution(choice=(5.0, 7.0, 6.0)), [0.0, 0.34, 0.67, 0.9999999999999999], [5.0, 7.0, 6.0, 6.0]),
    ],
)
def test_draws_are_the_inverse_of_the_distribution_function(distribution, u, expected):
    np.testing.assert_allclose(distribution.sample(np.array(u)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "needs exactly one of uniform, loguniform, triangular, choice, got none"),
        (
            {"uniform": (1, 2), "choice": (1,)},
            "needs exactly one of uniform, loguniform, triangular, choice, got ['uniform', 'choice']",
        ),
        ({"uniform": (2, 1)}, "uniform must be in rising order, got [2.0, 1.0]"),
        ({"triangular": (0, 2, 1)}, "triangular must be in rising order, got [0.0, 2.0, 1.0]"),
        ({"loguniform": (0, 1)}, "loguniform must start above 0, got 0.0"),
        ({"choice": ()}, "choice must not be empty"),
    ],
)
def test_a_malformed_distribution_is_refused(fields, message):
    with pytest.raises(ValidationError) as caught:
        Distribution(**fields)
    assert caught.value.errors()[0]["msg"] == f"Value error, {message}"


def test_numbers_and_distributions_answer_alike():
    drawn = Distribution(uniform=(1.0, 4.0))
    assert (low(drawn), mean(drawn), high(drawn)) == (1.0, 2.5, 4.0)
    assert (low(3.0), mean(3.0), high(3.0)) == (3.0, 3.0, 3.0)


def test_a_bare_number_is_the_nerfed_value():
    assert Limit.model_validate(2) == Limit(nerfed=2.0, lifted=None)
    assert Limit.model_validate(0.5).nerfed == 0.5
    assert Limit.model_validate("1e-3").nerfed == 0.001  # YAML reads 1e-3 as text


def test_a_bare_distribution_is_the_nerfed_value():
    assert Limit.model_validate({"uniform": [1, 2]}).nerfed == Distribution(uniform=(1.0, 2.0))
    assert Limit.model_validate({"nerfed": 1, "lifted": {"choice": [2]}}).lifted == Distribution(
        choice=(2.0,)
    )


@pytest.mark.parametrize(
    "data", [True, None, [1.0, 2.0], {}, {"nerfed": math.nan}, {"nerfed": 1, "lifted": math.inf}]
)
def test_what_is_no_limit_is_refused(data):
    with pytest.raises(ValidationError):
        Limit.model_validate(data)


def test_a_limit_is_interpolated_between_expected_values():
    limit = Limit(nerfed=Distribution(uniform=(1.0, 3.0)), lifted=6.0)
    assert [limit.at(level) for level in (0.0, 0.25, 0.5, 1.0)] == [2.0, 3.0, 4.0, 6.0]
    assert Limit(nerfed=2.0).at(0.5) == 2.0


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_limit_is_exact_at_both_ends(nerfed, lifted):
    limit = Limit(nerfed=nerfed, lifted=lifted)
    assert limit.at(0.0) == nerfed
    assert limit.at(1.0) == lifted


def test_models_are_immutable_and_refuse_unknown_keys():
    with pytest.raises(ValidationError):
        Limit(nerfed=1.0).nerfed = 2.0
    with pytest.raises(ValidationError):
        Limit(nerfed=1.0, liftd=2.0)
