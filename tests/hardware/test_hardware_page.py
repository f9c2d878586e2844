"""docs/hardware.md says what the code does: every guard with its severity, the states, real commands."""

from __future__ import annotations

import re
from pathlib import Path

from nerfbot.hardware.driver.guards import GUARDS, OPERATOR_ACTS, Clears
from nerfbot.hardware.driver.recovery import Recovery
from nerfbot.hardware.driver.report import Phase
from nerfbot.hardware.safety.permit import Permit

PAGE = (Path(__file__).parents[2] / "docs" / "hardware.md").read_text(encoding="utf-8")


def test_every_guard_is_in_the_table_with_its_severity_and_what_clears_it():
    documented = {}
    for names, severity, clears in re.findall(
        r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \| (stop|latch) \| .* \| (.*) \|$", PAGE, re.MULTILINE
    ):
        documented |= dict.fromkeys(re.findall(r"`([a-z-]+)`", names), (severity, clears))
    assert documented == {guard.name: (guard.severity.name.lower(), guard.clears.value) for guard in GUARDS}
    assert all(f"| {clears.value} |" in PAGE for clears in Clears)
    assert all(f"`{recovery.value}`" in PAGE for recovery in Recovery if recovery.value)


def test_what_an_operator_must_do_is_said_by_name():
    assert set(OPERATOR_ACTS) == {
        guard.name for guard in GUARDS if guard.clears in (Clears.OPERATOR, Clears.RESTART)
    }


def test_every_state_and_every_field_of_a_permit_is_documented():
    states = re.findall(r"^\| (off|run|stop|hold|release) \|", PAGE, re.MULTILINE)
    assert states == [phase.value for phase in Phase]
    assert all(f"`{name}`" in PAGE for name in Permit.__dataclass_fields__)
