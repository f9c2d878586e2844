"""Permits and commands: what counts, what is refused by name, and what silence, floods and liars do."""

from __future__ import annotations

import json
import math

import pytest

from nerfbot.errors import InvalidCommand
from nerfbot.hardware import joint_command as command
from nerfbot.hardware.errors import InvalidPermit
from nerfbot.hardware.servo_permit import (
    NOTHING,
    DatagramReceiver,
    DatagramSender,
    Permit,
    PermitWatch,
)

GOOD = {"sequence": 3, "valid_for_s": 0.1}


def permit(sequence=1, source="a", valid=0.1, **fields):
    return Permit(sequence, valid, source, **fields)


def test_a_permit_comes_back_as_it_was_sent():
    sent = permit(7, levels={"speed": 0.5}, charges=2, region="bench", clear=4)
    assert Permit.decode(sent.encode()) == sent


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sequence": -1}, "sequence = -1"),
        ({"sequence": True}, "sequence = True"),
        ({"valid_for_s": 0.0}, "valid_for_s = 0.0"),
        ({"valid_for_s": 2.0}, "valid_for_s = 2.0"),
        ({"valid_for_s": math.nan}, "valid_for_s = nan"),
        ({"valid_for_s": "1"}, "valid_for_s = '1'"),
        ({"levels": {"speed": 1.5}}, "levels.speed = 1.5"),
        ({"levels": {"speed": math.nan}}, "levels.speed = nan"),
        ({"levels": {"sped": 1.0}}, "levels.sped"),
        ({"charges": -1}, "charges = -1"),
        ({"estop": 1}, "estop"),
        ({"valid": 1}, "valid: unknown field"),
    ],
    ids=str,
)
def test_what_is_no_permit_is_refused_by_name(change, message):
    with pytest.raises(InvalidPermit, match=message.replace(".", r"\.")):
        Permit.decode(json.dumps({**GOOD, **change}).encode())


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[1]", b"{", b"null"])
def test_what_is_no_object_is_refused(data):
    with pytest.raises(InvalidPermit):
        Permit.decode(data)


def test_a_permit_holds_from_its_receipt_and_then_runs_out():
    watch = PermitWatch()
    assert not watch.state(0.0).valid
    assert watch.offer(permit(1, levels={"speed": 1.0}), 5.0)
    assert watch.state(5.09) == watch.state(5.0)
    assert watch.state(5.0).levels == (0.0, 1.0, 0.0, 0.0)
    assert watch.state(5.1).why == "the permit has run out"
    assert watch.state(5.1).levels == NOTHING


def test_late_doubled_and_replayed_permits_do_not_count():
    watch = PermitWatch()
    assert watch.offer(permit(5), 0.0)
    assert not watch.offer(permit(5), 0.05)
    assert not watch.offer(permit(4), 0.06)
    assert not watch.state(0.11).valid


def test_two_sources_at_once_are_a_conflict_until_both_are_silent():
    watch = PermitWatch()
    watch.offer(permit(1, "a"), 0.0)
    assert not watch.offer(permit(1, "b"), 0.05)
    assert watch.state(0.05).conflict
    watch.offer(permit(2, "a"), 0.1)
    assert watch.state(0.14).conflict
    assert not watch.state(0.25).valid
    assert watch.offer(permit(3, "a"), 0.3)
    assert watch.state(0.3).valid


def test_a_supervisor_that_starts_anew_counts_once_the_old_permit_has_run_out():
    watch = PermitWatch()
    watch.offer(permit(900, "a"), 0.0)
    assert watch.offer(permit(0, "b"), 0.2)
    assert watch.state(0.2).valid


def test_without_charges_the_permit_lifts_nothing():
    watch = PermitWatch()
    watch.offer(permit(1, levels={"speed": 1.0}, charges=0), 0.0)
    assert watch.state(0.0).levels == NOTHING
    assert watch.state(0.0).valid


def test_an_estop_is_heard_even_in_a_permit_that_does_not_count():
    watch = PermitWatch()
    watch.offer(permit(5), 0.0)
    watch.offer(permit(4, estop=True), 0.01)
    assert watch.state(0.01).estop


def test_datagrams_cross_a_socket_and_a_lost_receiver_is_no_error(tmp_path):
    receiver = DatagramReceiver(tmp_path / "permit")
    sender = DatagramSender(tmp_path / "permit")
    assert sender.send(permit(1).encode())
    assert [Permit.decode(data).sequence for data, _ in receiver.receive()] == [1]
    sender.send(permit(2).encode())
    receiver.discard()
    assert receiver.receive() == []
    receiver.close()
    assert not sender.send(permit(3).encode())
    sender.close()


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
    assert inbox.offer(datagram(sequence=5), 10.0, 0.1)
    assert not inbox.offer(datagram(sequence=5), 10.05, 0.1)
    assert not inbox.offer(datagram(sequence=4), 10.05, 0.1)
    assert inbox.received == 10.0
    assert inbox.offer(datagram(sequence=6), 10.06, 0.1)
    assert inbox.positions == [0.1, 0.2]


def test_a_second_source_is_a_conflict_and_is_not_followed():
    inbox = command.CommandInbox(NAMES, RANGES)
    inbox.offer(datagram((0.1, 0.2), source="a"), 0.0, 0.1)
    assert not inbox.offer(datagram((0.9, 0.9), source="b"), 0.05, 0.1)
    assert inbox.positions == [0.1, 0.2]
    assert inbox.conflict_at == 0.05
    assert inbox.offer(datagram((0.3, 0.3), source="b"), 0.2, 0.1)
