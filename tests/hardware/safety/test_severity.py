"""Of all conditions that hold, the worst decides."""

from __future__ import annotations

from nerfbot.hardware.safety.severity import Conditions, Severity


def test_the_worst_condition_wins_whatever_the_order() -> None:
    conditions = Conditions()
    assert conditions.worst is Severity.FINE
    conditions.set("odometry", Severity.STOP, "silent")
    conditions.set("battery", Severity.NO_LIFT, "11.1 V")
    assert conditions.worst is Severity.STOP
    assert conditions.reason(Severity.STOP) == "odometry: silent"
    assert list(conditions.active()) == ["odometry", "battery"]
    conditions.clear("odometry")
    assert conditions.reason(Severity.STOP) == ""
    assert conditions.reason(Severity.NO_LIFT) == "battery: 11.1 V"


def test_setting_a_condition_reports_what_is_new_or_worse() -> None:
    conditions = Conditions()
    assert conditions.set("load", Severity.NOTE, "")
    assert not conditions.set("load", Severity.NOTE, "")
    assert conditions.set("load", Severity.STOP, "")
    assert conditions.clear("load")
    assert not conditions.clear("load")
