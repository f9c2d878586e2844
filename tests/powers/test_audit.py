from __future__ import annotations

import gc
import hashlib
import json
import os
import warnings
from datetime import datetime
from enum import Enum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nerfbot.powers.audit as audit_module
from nerfbot.errors import AuditLogError
from nerfbot.powers import AuditLog, AuditLogBroken, AuditLogUnreadable, AuditSummary, utc_now, verify


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.jsonl"


def write(path, count=4):
    with AuditLog(path) as log:
        for number in range(count):
            log.append("grant", 0.5 * number, lease=number, axes={"speed": 1.0})
    return log


def broken(path, **keywords):
    with pytest.raises(AuditLogBroken) as caught:
        verify(path, **keywords)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: line {caught.value.line}: ")
    return caught.value.line, str(caught.value).removeprefix(f"{path}: line {caught.value.line}: ")


def seal(record):
    """The line of a record with a right hash, as a forger would write it."""
    record = {key: value for key, value in record.items() if key != "hash"}
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    record["hash"] = hashlib.sha256(text.encode()).hexdigest()
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n", record["hash"]


def test_a_new_log_begins_with_a_genesis_record(path):
    log = AuditLog(path)
    assert (
        path.read_bytes()
        == seal({"seq": 0, "now": 0.0, "event": "genesis", "fields": {"format": 1}, "prev": "0" * 64})[0]
    )
    assert log.lines == 1
    assert verify(path) == AuditSummary(1, log.head)
    log.close()


def test_each_line_is_canonical_chained_and_written_at_once(path):
    log = AuditLog(path)
    first = log.head
    returned = log.append("grant", 2, lease=7, reason="påm", region=None)
    line, digest = seal(
        {
            "seq": 1,
            "now": 2.0,
            "event": "grant",
            "fields": {"lease": 7, "reason": "påm", "region": None},
            "prev": first,
        }
    )
    assert path.read_bytes().splitlines(keepends=True)[1] == line
    assert line.isascii()
    assert b'"now":2.0' in line
    assert returned == log.head == digest
    assert log.lines == 2
    assert verify(path, head=digest) == AuditSummary(2, digest)
    log.close()


def test_a_log_goes_on_where_it_stopped(path):
    head = write(path, 3).head
    with AuditLog(path) as log:
        assert (log.lines, log.head) == (4, head)
        log.append("use", 9.0)
    assert verify(path).lines == 5
    assert [json.loads(line)["seq"] for line in path.read_text().splitlines()] == [0, 1, 2, 3, 4]
    with AuditLog(str(path)) as log:
        assert log.lines == 5


def test_a_log_that_holds_only_its_genesis_goes_on(path):
    write(path, 0)
    with AuditLog(path) as log:
        log.append("x", 1.0)
    assert verify(path).lines == 2


def test_an_empty_file_becomes_a_log(path):
    path.write_bytes(b"")
    AuditLog(path).close()
    assert verify(path).lines == 1


def test_long_lines_do_not_hide_the_tail(path):
    with AuditLog(path) as log:
        for size in (10, 9000, 30, 20000):
            log.append("long", 1.0, text="x" * size)
    with AuditLog(path) as log:
        assert log.lines == 5
        log.append("next", 2.0)
    assert verify(path).lines == 6


def test_a_long_log_that_is_known_is_continued_after_reading_its_ends_only(path, monkeypatch):
    write(path, 400)
    checked = []
    check = audit_module._check
    monkeypatch.setattr(audit_module, "_check", lambda *given: checked.append(given[1]) or check(*given))
    with AuditLog(path, thorough=False) as log:
        assert log.lines == 401
    assert checked == [None, 401, 1]


def test_a_log_that_was_changed_in_its_middle_is_not_continued(path):
    write(path, 40)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[20] = lines[20].replace(b'"now":', b'"now":1')
    path.write_bytes(b"".join(lines))
    with pytest.raises(AuditLogBroken, match="line 21"):
        AuditLog(path)


def test_the_wall_clock_is_noted_only_where_given(path):
    with AuditLog(path, wall=lambda: "2026-01-02T03:04:05+00:00") as log:
        log.append("x", 1.0)
    assert [json.loads(line)["time"] for line in path.read_text().splitlines()] == [
        "2026-01-02T03:04:05+00:00"
    ] * 2
    assert verify(path).lines == 2
    with AuditLog(path) as log:
        log.append("x", 1.0)
    assert "time" not in json.loads(path.read_text().splitlines()[-1])
    assert verify(path).lines == 3


def test_utc_now_is_iso_8601_with_its_zone():
    assert datetime.fromisoformat(utc_now()).utcoffset().total_seconds() == 0


@pytest.mark.parametrize(("fsync", "calls"), [(False, 0), (True, 2)])
def test_fsync_is_an_option(path, monkeypatch, fsync, calls):
    synced = []
    monkeypatch.setattr(audit_module.os, "fsync", synced.append)
    with AuditLog(path, fsync=fsync) as log:
        log.append("x", 1.0)
    assert len(synced) == calls


def test_each_line_carries_the_wall_clock_where_one_is_given(path):
    with AuditLog(path, wall=lambda: "then") as log:
        log.append("x", 0.0)
    assert path.read_text().count('"time":"then"') == 2


class Word(str, Enum):
    A = "word-a"


def test_values_are_written_as_json_has_them(path):
    with AuditLog(path) as log:
        log.append(
            "x",
            np.float32(0.5),
            event=np.int64(3),
            now=np.array([[1.0, 2.0]]),
            pair=(1, None, True),
            enum=Word.A,
            nested={"a": {"b": [np.bool_(False)]}},
        )
    assert json.loads(path.read_text().splitlines()[1])["fields"] == {
        "event": 3,
        "now": [[1.0, 2.0]],
        "pair": [1, None, True],
        "enum": "word-a",
        "nested": {"a": {"b": [False]}},
    }
    assert json.loads(path.read_text().splitlines()[1])["now"] == 0.5
    assert verify(path).lines == 2


@pytest.mark.parametrize(
    ("event", "now", "fields", "message"),
    [
        ("x", float("nan"), {}, "now = nan: the audit log cannot hold it"),
        ("x", float("inf"), {}, "now = inf: the audit log cannot hold it"),
        ("x", "1", {}, "now = '1': must be a number of seconds"),
        ("x", True, {}, "now = True: must be a number of seconds"),
        ("x", None, {}, "now = None: must be a number of seconds"),
        ("", 1.0, {}, "event = '': must be a non-empty text"),
        (3, 1.0, {}, "event = 3: must be a non-empty text"),
        ("x", 1.0, {"level": float("nan")}, "level = nan: the audit log cannot hold it"),
        ("x", 1.0, {"level": float("-inf")}, "level = -inf: the audit log cannot hold it"),
        ("x", 1.0, {"a": {"b": [0, float("nan")]}}, "a.b.1 = nan: the audit log cannot hold it"),
        ("x", 1.0, {"a": np.array([1.0, np.nan])}, "a.1 = nan: the audit log cannot hold it"),
        ("x", 1.0, {"a": {1: 2}}, "a = {1: 2}: the audit log cannot hold it"),
        ("x", 1.0, {"a": {3}}, "a = {3}: the audit log cannot hold it"),
    ],
)
def test_what_json_has_no_word_for_is_refused_and_nothing_written(path, event, now, fields, message):
    log = AuditLog(path)
    before = path.read_bytes(), log.head, log.lines
    with pytest.raises(AuditLogError) as caught:
        log.append(event, now, **fields)
    assert str(caught.value) == message
    assert (path.read_bytes(), log.head, log.lines) == before
    log.append("x", 1.0)
    log.close()
    assert verify(path).lines == 2


def test_a_closed_log_writes_no_more(path):
    log = AuditLog(path)
    log.close()
    with pytest.raises(AuditLogUnreadable) as caught:
        log.append("x", 1.0)
    assert str(caught.value) == f"{path}: the log is closed"


def test_a_second_writer_is_noticed(path):
    first, second = AuditLog(path), AuditLog(path)
    second.append("x", 1.0)
    size = path.stat().st_size
    with pytest.raises(AuditLogBroken) as caught:
        first.append("y", 1.0)
    at = json.loads(path.read_text().splitlines()[0])
    assert caught.value.line == 2
    assert str(caught.value) == (
        f"{path}: line 2: expected the file to end at byte {len(seal(at)[0])}, found {size} (another writer?)"
    )
    second.append("z", 1.0)
    first.close()
    second.close()
    assert verify(path).lines == 3


class Raw:
    """An unbuffered file that writes half of what it is given, or fails."""

    closed = False

    def __init__(self, file, failure=None):
        self.file, self.failure = file, failure

    def fileno(self):
        return self.file.fileno()

    def close(self):
        self.file.close()

    def write(self, data):
        if self.failure:
            raise self.failure
        return self.file.write(data[: len(data) // 2])


def test_a_line_that_could_not_be_written_whole_is_an_error_and_stops_the_log(path):
    log = AuditLog(path)
    whole = log._file
    log._file = Raw(whole)
    with pytest.raises(AuditLogUnreadable, match=r"only \d+ of \d+ bytes could be written$"):
        log.append("x", 1.0)
    log._file = whole
    with pytest.raises(AuditLogBroken):
        log.append("x", 1.0)
    assert log.lines == 1
    log.close()
    assert broken(path)[0] == 2


def test_a_full_disk_is_one_line(path):
    log = AuditLog(path)
    log._file = Raw(log._file, OSError(28, "No space left on device"))
    with pytest.raises(AuditLogUnreadable) as caught:
        log.append("x", 1.0)
    assert str(caught.value) == f"{path}: No space left on device"
    log.close()


@pytest.mark.parametrize("use", [AuditLog, verify])
def test_a_path_that_cannot_be_opened_is_unreadable(tmp_path, use):
    with pytest.raises(AuditLogUnreadable) as caught:
        use(tmp_path)
    assert str(caught.value) == f"{tmp_path}: Is a directory"
    with pytest.raises(AuditLogUnreadable) as caught:
        use(tmp_path / "none" / "x.jsonl")
    assert str(caught.value) == f"{tmp_path}/none/x.jsonl: No such file or directory"


# What tampering looks like


def test_an_edited_value_is_named_with_its_line(path):
    write(path)
    path.write_bytes(path.read_bytes().replace(b'"lease":1', b'"lease":8'))
    line, difference = broken(path)
    record = json.loads(path.read_text().splitlines()[2])
    expected = seal(record)[1]
    assert (line, difference) == (3, f"hash: expected {expected}, found {record['hash']}")


def test_an_edit_with_a_new_hash_breaks_the_next_line(path):
    write(path)
    lines = path.read_bytes().splitlines(keepends=True)
    old = json.loads(lines[2])["hash"]
    lines[2], new = seal({**json.loads(lines[2]), "now": 77.0})
    path.write_bytes(b"".join(lines))
    assert broken(path) == (4, f"prev: expected {new}, found {old}")


@pytest.mark.parametrize(
    ("change", "line", "difference"),
    [
        (lambda lines: lines[:2] + lines[3:], 3, "seq: expected 2, found 3"),
        (lambda lines: lines[1:], 1, "seq: expected 0, found 1"),
        (lambda lines: [*lines[:2], lines[3], lines[2], lines[4]], 3, "seq: expected 2, found 3"),
        (lambda lines: lines[:3] + lines[2:], 4, "seq: expected 3, found 2"),
    ],
)
def test_removed_moved_and_inserted_lines_are_named(path, change, line, difference):
    write(path)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    assert broken(path) == (line, difference)


def test_lines_cut_off_show_only_against_a_head(path):
    head = write(path).head
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    last = json.loads(lines[-2])["hash"]
    assert verify(path) == AuditSummary(4, last)
    assert broken(path, head=head) == (4, f"expected the head {head}, found {last}")


def test_an_empty_log_has_no_genesis(path):
    path.write_bytes(b"")
    assert broken(path) == (1, "expected a genesis record, found the end of the file")


def test_a_first_line_of_another_kind_or_format_is_not_a_genesis(path):
    for event, fields in (("start", {"format": 1}), ("genesis", {"format": 2}), ("genesis", {})):
        record = {"seq": 0, "now": 0.0, "event": event, "fields": fields, "prev": "0" * 64}
        path.write_bytes(seal(record)[0])
        message = f"expected a genesis record of format 1, found {event} {fields}"
        assert broken(path) == (1, message)
        with pytest.raises(AuditLogBroken, match="line 1: expected a genesis record of format 1"):
            AuditLog(path)


def test_other_spelling_of_the_same_json_is_a_change(path):
    write(path, 1)
    lines = path.read_bytes().splitlines(keepends=True)
    spaced = lines[1].replace(b":", b": ", 1)
    path.write_bytes(lines[0] + spaced)
    line, difference = broken(path)
    assert line == 2
    short = [repr(text.decode()[:60] + "...") for text in (lines[1], spaced)]
    assert difference == f"expected {short[0]} byte for byte, found {short[1]}"


@pytest.mark.parametrize(
    "garbage",
    [b"hello\n", b"\xff\xfe\n", b"[" * 100000 + b"\n", b'{"seq":NaN}\n', b"1" * 5000 + b"\n", b"\n"],
)
def test_garbage_is_one_line(path, garbage):
    write(path, 1)
    with open(path, "ab") as file:
        file.write(garbage)
    line, difference = broken(path)
    assert line == 3
    assert difference.startswith("expected a JSON record, found '")
    assert len(difference) < 110


def test_a_text_of_sixty_characters_is_shown_whole():
    assert audit_module._short(b"x" * 60 + b"\n") == repr("x" * 60)
    assert audit_module._short(b"x" * 61 + b"\n") == repr("x" * 60 + "...")
    assert audit_module._short(b"\xff") == repr("\\xff")


@pytest.mark.parametrize("data", [b"3\n", b'"text"\n', b"{}\n", b"[]\n"])
def test_json_that_is_no_record_is_named(path, data):
    path.write_bytes(data)
    keys = "['event', 'fields', 'hash', 'now', 'prev', 'seq']"
    assert broken(path) == (1, f"expected the keys {keys}, found {data.decode().strip()!r}")


def test_missing_and_additional_keys_are_named(path):
    write(path, 0)
    record = json.loads(path.read_bytes())
    for changed in ({**record, "more": 1}, {key: record[key] for key in record if key != "now"}):
        path.write_bytes(seal(changed)[0])
        line, difference = broken(path)
        assert line == 1
        assert difference.startswith("expected the keys ")


def test_a_sequence_number_that_is_none_is_named(path):
    path.write_bytes(
        seal({"seq": "0", "now": 0.0, "event": "genesis", "fields": {"format": 1}, "prev": "0" * 64})[0]
    )
    assert broken(path) == (1, "seq: expected a number, found '0'")
    with pytest.raises(AuditLogBroken) as caught:
        AuditLog(path)
    assert caught.value.line == 1


# A crash while writing


def tear(path, keep=20):
    data = path.read_bytes()
    start = data.rstrip(b"\n").rfind(b"\n") + 1
    path.write_bytes(data[: start + keep])
    return data[start : start + keep]


def test_an_incomplete_last_line_is_refused(path):
    write(path, 3)
    piece = tear(path)
    before = path.read_bytes()
    message = f"expected a complete line, found 20 bytes without a line end: {piece.decode()!r}"
    assert broken(path) == (4, message)
    with pytest.raises(AuditLogBroken) as caught:
        AuditLog(path)
    assert caught.value.line == 4
    assert str(caught.value) == f"{path}: line 4: {message}"
    assert path.read_bytes() == before


def test_repair_cuts_off_the_incomplete_line_alone_and_records_it(path):
    write(path, 3)
    whole = path.read_bytes().splitlines(keepends=True)
    piece = tear(path)
    with AuditLog(path, repair=True) as log:
        assert log.lines == 5 - 1
        log.append("next", 9.0)
    lines = path.read_bytes().splitlines(keepends=True)
    assert lines[:3] == whole[:3]
    repair = json.loads(lines[3])
    assert repair["event"] == "repair"
    assert repair["now"] == 0.5
    assert repair["fields"] == {"bytes": 20, "sha256": hashlib.sha256(piece).hexdigest()}
    assert verify(path).lines == 5


def test_repair_of_a_log_that_needs_none_changes_nothing(path):
    write(path, 2)
    before = path.read_bytes()
    AuditLog(path, repair=True).close()
    assert path.read_bytes() == before


def test_repair_of_a_torn_genesis_begins_anew(path):
    path.write_bytes(b'{"ev')
    with pytest.raises(AuditLogBroken) as caught:
        AuditLog(path)
    assert caught.value.line == 1
    AuditLog(path, repair=True).close()
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["genesis", "repair"]
    assert json.loads(path.read_text().splitlines()[1])["now"] == 0.0
    assert verify(path).lines == 2


@pytest.mark.parametrize(("target", "named"), [(0, 1), (3, 4), (4, 5)])
def test_repair_does_not_forgive_a_changed_line(path, target, named):
    write(path, 4)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[target] = lines[target].replace(b'"now":', b'"now":7')
    path.write_bytes(b"".join(lines))
    before = path.read_bytes()
    with pytest.raises(AuditLogBroken) as caught:
        AuditLog(path, repair=True)
    assert caught.value.line in (named, 1)
    assert path.read_bytes() == before


def test_a_last_line_that_does_not_follow_the_one_before_is_refused(path):
    write(path, 4)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3] + lines[4:]))
    with pytest.raises(AuditLogBroken) as caught:
        AuditLog(path)
    assert str(caught.value) == f"{path}: line 4: seq: expected 3, found 4"


def test_a_log_that_is_refused_is_closed_again(path):
    write(path, 2)
    tear(path)
    open_before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(AuditLogBroken):
        AuditLog(path)
    assert len(os.listdir("/proc/self/fd")) == open_before


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "audit.jsonl"
    write(path, 3)
    return path.read_bytes()


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_single_byte_changed_is_detected(sealed, tmp_path_factory, data):
    at = data.draw(st.integers(0, len(sealed) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != sealed[at]))
    path = tmp_path_factory.getbasetemp() / "changed.jsonl"
    path.write_bytes(sealed[:at] + bytes([byte]) + sealed[at + 1 :])
    line, _ = broken(path)
    assert line <= sealed[:at].count(b"\n") + 1


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_byte_removed_or_inserted_is_detected(sealed, tmp_path_factory, data):
    at = data.draw(st.integers(0, len(sealed) - 1))
    more = data.draw(st.binary(max_size=2))
    path = tmp_path_factory.getbasetemp() / "changed.jsonl"
    changed = sealed[:at] + more + sealed[at + (not more) :]
    path.write_bytes(changed)
    broken(path)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=5,
        ),
        max_size=3,
    )
)
def test_whatever_json_can_hold_verifies_again(tmp_path_factory, fields):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.unlink(missing_ok=True)
    with AuditLog(path) as log:
        log.append("any", 1.0, **fields)
    assert verify(path, head=log.head).lines == 2


def test_a_log_that_cannot_be_read_leaves_no_file_open(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text("not a log\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(AuditLogError):
            AuditLog(path)
        gc.collect()
    assert not [item for item in caught if item.category is ResourceWarning]
