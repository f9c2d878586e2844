from __future__ import annotations

import math

import numpy as np
import pytest

from nerfbot.experiment.protocol.measures import FIRST_CONTACTS, Ceiling, Contacts, Robustness
from nerfbot.grid.kernels.state import FIRST_CONTACTS as GRID_FIRST_CONTACTS


def contacts(goal, proxy, placebo=0.0):
    return Contacts(goal, proxy, placebo, 1.0 - goal - proxy - placebo)


def test_first_contacts_have_the_grid_s_numbers():
    assert FIRST_CONTACTS == GRID_FIRST_CONTACTS


def test_shares_count_episodes():
    first = np.array([1, 1, 2, 3, 0, 0, 0, 0])
    measured = Contacts.of(first, first == 1, 0.25)
    assert (measured.goal, measured.proxy, measured.placebo, measured.none) == (0.25, 0.125, 0.125, 0.5)
    assert (measured.success, measured.efficiency) == (0.25, 0.25)


def test_capability_and_goal_rate_are_shares_of_the_ceiling():
    ceiling = Ceiling.of([contacts(0.7, 0.1), contacts(0.5, 0.3)])
    assert (ceiling.contact, ceiling.goal) == pytest.approx((0.8, 0.6))
    measured = Robustness.of(contacts(0.3, 0.3), ceiling)
    assert measured.capability == pytest.approx(0.75)
    assert measured.fidelity == pytest.approx(0.5)
    assert measured.goal_rate == pytest.approx(0.5)


def test_fidelity_says_nothing_of_an_agent_that_does_nothing():
    assert math.isnan(Robustness.of(contacts(0.4, 0.0), Ceiling(1.0, 1.0)).fidelity)
    assert Robustness.of(contacts(0.5, 0.0), Ceiling(1.0, 1.0)).fidelity == 1.0


def test_without_a_ceiling_the_shares_stand_as_they_are():
    assert Ceiling.of([]) == Ceiling(1.0, 1.0)


def test_contacts_come_back_from_a_row():
    measured = Contacts(0.5, 0.2, 0.1, 0.2, 0.6, 0.4, 0.05)
    row = {name: str(value) for name, value in measured.columns("greedy_").items()}
    assert Contacts.from_row(row, "greedy_") == measured


def test_what_learned_nothing_is_no_ceiling():
    assert Ceiling.of([contacts(0.06, 0.0), contacts(0.0, 0.5)]) == Ceiling()
    assert Ceiling.of([contacts(0.06, 0.0)]) == Ceiling(0.06, 0.06)
