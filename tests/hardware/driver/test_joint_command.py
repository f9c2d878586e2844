"""Commands for the joints: what counts, what is refused by name, and what late ones and liars do."""

from __future__ import annotations

import json
import math

import pytest

from nerfbot.errors import InvalidCommand
from nerfbot.hardware.driver import joint_command as command

NAMES = ("lift", "grip")
RANGES = {"lift": (-1.0, 1.0), "grip": (0.0, 1.5)}


def datagram(positions=(0.1, 0.2), names=NAMES, sequence=1, source="a", **more):
    data = {"sequence": sequence, "source": source, "names": names, "positions": positions}
    return json.dumps({**data, **more}).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (datagram((math.nan, 0.0)), "lift = nan: must be a finite"),
        (datagram((0.0, math.inf)), "grip = inf: must be a finite"),
        (datagram((0.0, -math.inf)), "grip = -inf: must be a finite"),
        (datagram((1e308, 0.0)), "lift = 1e.308"),
        (datagram((45.0, 0.0)), "lift = 45 rad: far outside"),
        (datagram(()), "one length"),
        (datagram((0.1,)), "one length"),
        (datagram((0.1, 0.2, 0.3)), "one length"),
        (datagram((0.1, 0.2), ("lift", "lift")), "each once"),
        (datagram((0.1, 0.2), ("lift", "gripp")), "gripp"),
        (datagram((True, 0.2)), "lift = True"),
        (datagram(("0.1", 0.2)), "lift = '0.1'"),
        (datagram((None, 0.2)), "lift = None"),
        (datagram(sequence=-1), "sequence = -1"),
        (datagram(source=None), "source = None"),
        (b"[]", "must be an object"),
        (b"\x00", "is no JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_command_is_refused_by_joint_and_value(data, message):
    with pytest.raises(InvalidCommand, match=message):
        command.decode(data, NAMES, RANGES)


def test_joints_may_come_in_any_order_and_a_denormal_is_a_number():
    assert command.decode(datagram((5e-324, 0.2), ("grip", "lift")), NAMES, RANGES)[2] == [0.2, 5e-324]


def test_commands_age_by_receipt_and_only_newer_ones_count():
    inbox = command.CommandInbox(NAMES, RANGES)
    assert inbox.receive(datagram(sequence=5), 10.0, 0.1)
    assert not inbox.receive(datagram(sequence=5), 10.05, 0.1)
    assert not inbox.receive(datagram(sequence=4), 10.05, 0.1)
    assert inbox.received == 10.0
    assert inbox.receive(datagram(sequence=6), 10.06, 0.1)
    assert inbox.positions == [0.1, 0.2]


def test_a_second_source_is_a_conflict_and_is_not_followed():
    inbox = command.CommandInbox(NAMES, RANGES)
    inbox.receive(datagram((0.1, 0.2), source="a"), 0.0, 0.1)
    assert not inbox.receive(datagram((0.9, 0.9), source="b"), 0.05, 0.1)
    assert inbox.positions == [0.1, 0.2]
    assert inbox.conflict_at == 0.05
    assert inbox.receive(datagram((0.3, 0.3), source="b"), 0.2, 0.1)
