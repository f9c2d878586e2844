"""The emergency stop stays latched until its cause is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from nerfbot.hardware.errors import InvalidSetup
from nerfbot.hardware.safety.estop_latch import EstopLatch


def test_a_latch_survives_its_process_and_the_first_reason_stays(tmp_path: Path) -> None:
    latch = EstopLatch(tmp_path / "estop")
    assert latch.reason == ""
    latch.trip("button")
    latch.trip("another")
    assert EstopLatch(tmp_path / "estop").reason == "button"


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"why": "x"}'])
def test_a_latch_file_that_is_malformed_latches(tmp_path: Path, content: str) -> None:
    (tmp_path / "estop").write_text(content)
    assert EstopLatch(tmp_path / "estop").reason


@pytest.mark.parametrize(
    ("cause", "stopped", "why"),
    [
        ("tilt: 40 degrees", True, "the cause persists"),
        ("", False, "at rest"),
    ],
)
def test_it_is_not_cleared_while_anything_forbids_it(
    tmp_path: Path, cause: str, stopped: bool, why: str
) -> None:
    latch = EstopLatch(tmp_path / "estop")
    latch.trip("button")
    assert why in latch.clear(cause, stopped)
    assert EstopLatch(tmp_path / "estop").reason == "button"


def test_it_is_cleared_when_nothing_does(tmp_path: Path) -> None:
    latch = EstopLatch(tmp_path / "estop")
    latch.trip("button")
    assert latch.clear("", True) == ""
    assert EstopLatch(tmp_path / "estop").reason == ""


def test_a_latch_that_cannot_be_written_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidSetup, match="cannot be written"):
        EstopLatch(tmp_path / "file" / "estop")
