"""Permits hold for as long as they say from when they were sent, from one source, in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nerfbot.hardware.datagram import Mailbox
from nerfbot.hardware.errors import InvalidPermit, InvalidRequest, InvalidSetup, NoAnswer
from nerfbot.hardware.safety.permit import LONGEST, Permit, PermitSource, PermitState, PermitWatch
from nerfbot.hardware.safety.requests import RequestServer, SupervisorClient, parse

LIFT = (1.0, 0.5, 0.0, 0.25)


def test_a_permit_survives_its_datagram() -> None:
    permit = PermitSource(0.2).next(LIFT, charges=2, region={"kind": "circle"}, now=7.0)
    assert Permit.decode(permit.encode()) == permit


def test_a_reader_with_a_latch_learns_of_the_stop_and_of_the_latch_that_may_be_cleared() -> None:
    watch, source = PermitWatch(), PermitSource(0.2)
    watch.take(source.next(LIFT, clear=4, now=1.0).encode(), 1, 1.0)
    assert watch.state(1.0) == PermitState("", LIFT, alive=True, clear=4)
    watch.take(source.next(stop="estop: button", estop=True, now=1.1).encode(), 1, 1.1)
    assert watch.state(1.1) == PermitState("estop: button", alive=True, estop=True)
    watch.acknowledge_estop()
    assert not watch.state(1.1).estop
    assert watch.state(1.3) == PermitState("the permit lapsed")
    watch.take(source.next(LIFT, clear=4, now=1.3).encode(), 1, 1.3)
    watch.take(PermitSource(0.2).next(now=1.3).encode(), 2, 1.3)
    state = watch.state(1.3)
    assert (state.alive, state.conflict, state.clear) == (False, True, None)


def test_an_emergency_stop_is_heard_even_in_a_permit_that_does_not_count() -> None:
    watch, source = PermitWatch(), PermitSource(0.2)
    late = source.next(stop="estop: button", estop=True, now=1.0)
    watch.take(source.next(now=1.0).encode(), 1, 1.0)
    watch.take(late.encode(), 1, 1.0)
    assert watch.state(1.0).estop


def test_a_reader_that_ends_withdraws_its_permit() -> None:
    watch = PermitWatch()
    watch.take(PermitSource(0.2).next(now=1.0).encode(), 1, 1.0)
    watch.withdraw()
    assert not watch.state(1.0).alive
    assert watch.stop(1.0) == "the permit lapsed"


def test_without_a_permit_nothing_moves_and_nothing_is_lifted() -> None:
    watch = PermitWatch()
    assert watch.stop(0.0) == "no permit yet"
    assert watch.levels(0.0) == (0.0, 0.0, 0.0, 0.0)


def test_a_permit_holds_from_when_it_was_sent_not_from_when_it_was_read() -> None:
    watch = PermitWatch()
    watch.take(PermitSource(0.2).next(LIFT, now=10.0).encode(), 1, 10.15)
    assert watch.stop(10.19) == ""
    assert watch.levels(10.19) == LIFT
    assert "lapsed" in watch.stop(10.2)
    assert watch.levels(10.2) == (0.0,) * 4


def test_a_permit_that_stops_gives_its_reason_and_no_lift() -> None:
    watch = PermitWatch()
    watch.take(PermitSource(0.2).next(LIFT, stop="estop: button", now=1.0).encode(), 1, 1.0)
    assert watch.stop(1.0) == "estop: button"
    assert watch.levels(1.0) == (0.0,) * 4


def test_a_second_source_stops_for_as_long_as_both_are_heard() -> None:
    watch, first, second = PermitWatch(), PermitSource(0.2), PermitSource(0.2)
    watch.take(first.next(now=1.0).encode(), 1, 1.0)
    watch.take(second.next(now=1.1).encode(), 2, 1.1)
    assert "second source" in watch.stop(1.1)
    watch.take(first.next(now=1.2).encode(), 1, 1.2)
    assert "second source" in watch.stop(1.2)
    watch.take(first.next(now=1.35).encode(), 1, 1.35)
    assert watch.stop(1.35) == ""


def test_the_same_process_with_another_session_is_another_source() -> None:
    watch = PermitWatch()
    watch.take(PermitSource(0.2).next(now=1.0).encode(), 1, 1.0)
    watch.take(PermitSource(0.2).next(now=1.0).encode(), 1, 1.0)
    assert "second source" in watch.stop(1.0)


def test_a_restarted_supervisor_is_followed_once_the_old_permit_has_lapsed() -> None:
    watch = PermitWatch()
    watch.take(PermitSource(0.2).next(now=1.0).encode(), 1, 1.0)
    watch.take(PermitSource(0.2).next(now=1.5).encode(), 2, 1.5)
    assert watch.stop(1.5) == ""


@pytest.mark.parametrize("again", [0, 1], ids=["older", "same"])
def test_an_old_number_does_not_prolong(again: int) -> None:
    watch, source = PermitWatch(), PermitSource(0.2)
    permits = [source.next(now=1.0), source.next(now=1.1)]
    for permit in permits:
        watch.take(permit.encode(), 1, permit.sent)
    late = Permit(source.session, permits[again].sequence, 1.25, 0.2)
    watch.take(late.encode(), 1, 1.25)
    assert "lapsed" in watch.stop(1.3)
    assert "sequence" in watch.problem


def test_a_permit_from_the_future_grants_nothing() -> None:
    watch = PermitWatch()
    watch.take(PermitSource(0.2).next(now=3600.0).encode(), 1, 1.0)
    assert watch.stop(1.0) == "no permit yet"
    assert "ahead of the clock" in watch.problem


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("valid_for_s", 0.0),
        ("valid_for_s", LONGEST * 1.01),
        ("valid_for_s", True),
        ("levels", [1.0, 1.0, 1.0]),
        ("levels", [1.0, 1.0, 1.0, 1.01]),
        ("levels", [1.0, 1.0, 1.0, -0.1]),
        ("sequence", -1),
        ("sequence", 1.5),
        ("sent", "now"),
        ("format", 1),
        ("session", ""),
        ("stop", None),
        ("charges", -1),
        ("region", "everywhere"),
        ("estop", 1),
        ("estop", True),  # without a stop
        ("clear", -1),
    ],
)
def test_a_bad_field_is_named_and_grants_nothing(field: str, value: object) -> None:
    content = json.loads(PermitSource(0.2).next(now=1.0).encode())
    content[field] = value
    with pytest.raises(InvalidPermit, match=field):
        Permit.decode(json.dumps(content).encode())
    watch = PermitWatch()
    watch.take(json.dumps(content).encode(), 1, 1.0)
    assert watch.stop(1.0) == "no permit yet"


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[]", b"null", b"{}", b'{"levels": NaN}', b"[" * 5000])
def test_garbage_grants_nothing(data: bytes) -> None:
    watch = PermitWatch()
    watch.take(data, 1, 1.0)
    assert watch.stop(1.0) == "no permit yet"
    assert watch.problem


def test_not_a_number_among_the_levels_is_refused() -> None:
    text = PermitSource(0.2).next(now=1.0).encode().replace(b"[0.0, 0.0, 0.0, 0.0]", b"[NaN, 0.0, 0.0, 0.0]")
    with pytest.raises(InvalidPermit, match="levels"):
        Permit.decode(text)


@pytest.mark.parametrize("valid_for", [0.0, -1.0, 2.1, float("nan")])
def test_a_source_refuses_a_time_that_is_no_heartbeat(valid_for: float) -> None:
    with pytest.raises(InvalidPermit, match="valid_for_s"):
        PermitSource(valid_for)


@pytest.mark.realtime
def test_the_kernel_names_the_sender(tmp_path: Path) -> None:
    box = Mailbox(tmp_path / "in")
    code = (
        "import socket, sys, os; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
        "s.sendto(b'hello', sys.argv[1]); print(os.getpid())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(box.path)], capture_output=True, text=True, check=True
    )
    assert box.wait(1.0)
    (message,) = box.read()
    assert (message.data, message.pid) == (b"hello", int(done.stdout))
    box.close()
    assert not box.path.exists()


def test_what_waited_can_be_thrown_away(tmp_path: Path) -> None:
    box, sender = Mailbox(tmp_path / "in"), Mailbox(tmp_path / "out")
    for _ in range(5):
        sender.send(b"x", box.path)
    box.discard()
    assert list(box.read()) == []


def test_a_message_that_does_not_fit_is_none(tmp_path: Path) -> None:
    with_room, sender = Mailbox(tmp_path / "in"), Mailbox(tmp_path / "out")
    assert sender.send(b"x" * 20000, with_room.path)
    assert [message.data for message in with_room.read()] == [b""]


def test_a_full_queue_does_not_make_the_sender_wait(tmp_path: Path) -> None:
    _reader, sender = Mailbox(tmp_path / "in"), Mailbox(tmp_path / "out")
    assert not all(sender.send(b"x", tmp_path / "in") for _ in range(10000))


def test_a_path_that_a_living_process_reads_is_refused_and_a_dead_ones_is_taken_over(tmp_path: Path) -> None:
    first = Mailbox(tmp_path / "in")
    with pytest.raises(InvalidSetup, match="reads it already"):
        Mailbox(tmp_path / "in")
    first._socket.close()  # as a kill does: the path stays
    assert (tmp_path / "in").exists()
    Mailbox(tmp_path / "in").close()


def test_a_path_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetup, match="at most 107 bytes"):
        Mailbox(tmp_path / ("x" * 120))


def test_only_the_user_may_write_to_a_mailbox(tmp_path: Path) -> None:
    box = Mailbox(tmp_path / "in")
    assert os.stat(box.path).st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"hello", "one JSON object"),
        (b"[]", "kind must be one of"),
        (b'{"kind": "fly"}', "kind must be one of"),
        (b'{"kind": "estop"}', "reason is missing"),
        (b'{"kind": "estop", "reason": 1}', "reason = 1"),
        (b'{"kind": "estop", "reason": "x", "resaon": "y"}', "did you mean 'reason'"),
        (b'{"kind": "grant", "axes": {}, "duration": true, "ramp": 0, "reason": ""}', "duration = True"),
    ],
)
def test_a_request_that_cannot_be_understood_names_what_is_wrong(data: bytes, named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        parse(data)


def test_a_missing_supervisor_is_reported_at_once(tmp_path: Path) -> None:
    with SupervisorClient(tmp_path / "supervisor") as client, pytest.raises(NoAnswer, match="nobody reads"):
        client.request("status")


def test_a_hung_supervisor_is_reported_after_the_timeout(tmp_path: Path) -> None:
    server = RequestServer(tmp_path / "supervisor")
    with (
        SupervisorClient(tmp_path / "supervisor") as client,
        pytest.raises(NoAnswer, match="no answer within"),
    ):
        client.request("status", timeout=0.01)
    server.close()
