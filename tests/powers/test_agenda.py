import numpy as np
import pytest

from nerfbot.errors import LeaseError
from nerfbot.powers import Agenda, Always, load_schedule


def at(start, **fields):
    return load_schedule({"kind": "occasional", "probability": 1.0, "start": start, "length": 2.0, **fields})


def test_each_lease_comes_once_when_its_time_has_come_in_the_order_of_their_starts():
    agenda = Agenda([at(5.0, edits=["phase"]), at(3.0)], np.random.default_rng(0), 20.0)
    assert list(agenda.due(2.9)) == []
    (first,) = agenda.due(3.0)
    assert not first.edits
    assert list(agenda.due(4.9)) == []
    (second,) = agenda.due(6.0)
    assert second.edits == ("phase",)
    assert list(agenda.due(20.0)) == []


def test_what_is_due_already_comes_at_once():
    agenda = Agenda([at(5.0), Always(), at(3.0)], np.random.default_rng(0), 20.0)
    assert len(list(agenda.due(10.0))) == 3


def test_a_horizon_that_cannot_be_is_refused():
    with pytest.raises(LeaseError, match="horizon"):
        Agenda([Always()], np.random.default_rng(0), 0.0)
