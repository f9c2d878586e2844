"""docs/hardware.md says what the code does: every guard with its severity, the states, real commands."""

from __future__ import annotations

import re
from pathlib import Path

from nerfbot.hardware.driver.guards import GUARDS
from nerfbot.hardware.driver.report import Phase
from nerfbot.hardware.safety.permit import Permit

PAGE = (Path(__file__).parents[2] / "docs" / "hardware.md").read_text(encoding="utf-8")


def test_every_guard_is_in_the_table_with_its_severity():
    documented = {}
    for names, severity in re.findall(
        r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \| (stop|latch) \|", PAGE, re.MULTILINE
    ):
        documented |= dict.fromkeys(re.findall(r"`([a-z-]+)`", names), severity)
    assert documented == {guard.name: guard.severity.name.lower() for guard in GUARDS}


def test_every_state_and_every_field_of_a_permit_is_documented():
    states = re.findall(r"^\| (off|run|stop|hold|release) \|", PAGE, re.MULTILINE)
    assert states == [phase.value for phase in Phase]
    assert all(f"`{name}`" in PAGE for name in Permit.__dataclass_fields__)
