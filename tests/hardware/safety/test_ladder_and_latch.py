"""The worst condition wins; the emergency stop stays latched until its cause is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from nerfbot.hardware.errors import InvalidSetup
from nerfbot.hardware.safety.estop_latch import EstopLatch
from nerfbot.hardware.safety.severity import Ladder, Severity


def test_the_worst_condition_wins_whatever_the_order() -> None:
    ladder = Ladder()
    assert ladder.worst is Severity.FINE
    ladder.set("odometry", Severity.STOP, "silent")
    ladder.set("battery", Severity.NO_LIFT, "11.1 V")
    assert ladder.worst is Severity.STOP
    assert ladder.reason(Severity.STOP) == "odometry: silent"
    assert list(ladder.held()) == ["odometry", "battery"]
    ladder.clear("odometry")
    assert ladder.reason(Severity.STOP) == ""
    assert ladder.reason(Severity.NO_LIFT) == "battery: 11.1 V"


def test_it_says_what_is_new_or_worse() -> None:
    ladder = Ladder()
    assert ladder.set("load", Severity.NOTE, "")
    assert not ladder.set("load", Severity.NOTE, "")
    assert ladder.set("load", Severity.STOP, "")
    assert ladder.clear("load")
    assert not ladder.clear("load")


def test_a_latch_survives_its_process_and_keeps_the_first_reason(tmp_path: Path) -> None:
    latch = EstopLatch(tmp_path / "estop")
    assert latch.reason == ""
    latch.trip("button")
    latch.trip("another")
    assert EstopLatch(tmp_path / "estop").reason == "button"


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"why": "x"}'])
def test_a_latch_file_that_says_nothing_sensible_latches(tmp_path: Path, content: str) -> None:
    (tmp_path / "estop").write_text(content)
    assert EstopLatch(tmp_path / "estop").reason


@pytest.mark.parametrize(
    ("cause", "permitted", "stopped", "why"),
    [
        ("tilt: 40 degrees", True, True, "the cause persists"),
        ("", False, True, "no fresh permit"),
        ("", True, False, "at rest"),
    ],
)
def test_it_is_not_cleared_while_anything_speaks_against_it(
    tmp_path: Path, cause: str, permitted: bool, stopped: bool, why: str
) -> None:
    latch = EstopLatch(tmp_path / "estop")
    latch.trip("button")
    assert why in latch.clear(cause, permitted, stopped)
    assert EstopLatch(tmp_path / "estop").reason == "button"


def test_it_is_cleared_when_nothing_does(tmp_path: Path) -> None:
    latch = EstopLatch(tmp_path / "estop")
    latch.trip("button")
    assert latch.clear("", True, True) == ""
    assert EstopLatch(tmp_path / "estop").reason == ""


def test_a_latch_that_cannot_be_written_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidSetup, match="cannot be written"):
        EstopLatch(tmp_path / "file" / "estop")
