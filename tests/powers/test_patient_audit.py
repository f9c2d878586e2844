"""The audit log that does not end its writer: full disk, foreign bytes, values that JSON cannot hold."""

from __future__ import annotations

import contextlib
import json
import math
import resource

import pytest

from nerfbot.powers import AuditLogUnreadable, PatientAuditLog, verify
from nerfbot.powers.patient_audit import CAPACITY, RETRY


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.jsonl"


@pytest.fixture
def log(path):
    with contextlib.closing(PatientAuditLog(path)) as log:
        yield log


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@contextlib.contextmanager
def full_disk(path):
    """No file can grow beyond a piece of the next line."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_without_trouble_it_is_an_audit_log(path, log):
    log.append("start", 1.0, limit=0.5)
    assert (log.problem, log.waiting) == ("", 0)
    assert [record["event"] for record in records(path)] == ["genesis", "start"]
    assert verify(path).head == log.head


def test_what_a_full_disk_does_not_take_waits_and_follows_a_marked_gap(path, log):
    with full_disk(path):
        log.append("latch", 1.0, number=1)
        log.append("clear", 1.5, number=1)
        log.retry(1.0 + RETRY)
        assert log.waiting == 2
        assert str(path) in log.problem
    log.retry(1.0 + 1.5 * RETRY)
    assert log.waiting == 2, "it is tried once in RETRY"
    log.retry(1.0 + 2.0 * RETRY)
    assert (log.problem, log.waiting) == ("", 0)
    verify(path)
    events = [(record["event"], record["now"]) for record in records(path)]
    assert events[-3:] == [("gap", 1.0 + 2.0 * RETRY), ("latch", 1.0), ("clear", 1.5)]
    gap = next(record for record in records(path) if record["event"] == "gap")
    assert gap["fields"]["waiting"] == 2


def test_a_piece_of_somebody_else_is_cut_off_and_recorded(path, log):
    with path.open("ab") as file:
        file.write(b"x")
    log.append("latch", 1.0)
    assert "another writer" in log.problem
    log.retry(1.0 + RETRY)
    assert [record["event"] for record in records(path)] == ["genesis", "repair", "gap", "latch"]
    verify(path)


def test_a_broken_chain_stays_as_it_is_and_a_new_file_says_so(path, log):
    head = log.head
    with path.open("ab") as file:
        file.write(b"a line\n")
    before = path.read_bytes()
    log.append("latch", 1.0)
    log.retry(1.0 + RETRY)
    assert path.read_bytes() == before
    assert log.path.name == "audit-2.jsonl"
    _, gap, latch = records(log.path)
    assert (gap["fields"]["before"], gap["fields"]["head"]) == (path.name, head)
    assert latch["event"] == "latch"


def test_a_value_that_json_cannot_hold_is_told_and_ends_nothing(path, log):
    log.append("position", 1.0, rad=math.nan, what=object())
    log.append("position", math.nan, rad=0.0)
    assert log.problem == ""
    assert "rad = nan" in records(path)[1]["fields"]["unwritable"]
    assert "now = nan" in records(path)[2]["fields"]["unwritable"]


def test_so_many_entries_wait_and_the_gap_counts_what_is_lost(path, log):
    with full_disk(path):
        for number in range(CAPACITY + 3):
            log.append("event", float(number))
    log.retry(CAPACITY + 10.0)
    gap = next(record for record in records(path) if record["event"] == "gap")
    assert (gap["fields"]["waiting"], gap["fields"]["lost"]) == (CAPACITY, 3)


def test_a_log_that_cannot_be_opened_is_refused_at_the_start(tmp_path):
    with pytest.raises(AuditLogUnreadable):
        PatientAuditLog(tmp_path / "nowhere" / "audit.jsonl")
