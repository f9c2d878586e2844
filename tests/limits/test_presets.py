from __future__ import annotations

import pytest

from nerfbot.course.capability import ROVER
from nerfbot.limits import NerfSpec
from nerfbot.limits.fields import CHANNEL_FIELDS, COMMAND_FIELDS, SENSOR_FIELDS
from nerfbot.limits.value import Distribution, low

ONE_AXIS = {
    "rover-feeble": "strength",
    "rover-slow": "speed",
    "rover-blind": "sensing",
    "rover-unreliable": "reliability",
}


def limits_of(spec: NerfSpec) -> dict[str, tuple[str, object]]:
    """Every limit of a specification by its place: its axis, and the limit."""
    sections = [("channels", spec.channels, CHANNEL_FIELDS), ("sensors", spec.sensors, SENSOR_FIELDS)]
    found = {
        f"{group}.{name}.{field}": (table[field].axis, limit)
        for group, entries, table in sections
        for name, section in entries.items()
        for field, limit in section.limits()
    }
    for field, limit in spec.command.limits():
        found[f"command.{field}"] = (COMMAND_FIELDS[field].axis, limit)
    return found


@pytest.mark.parametrize("name", NerfSpec.presets())
def test_every_preset_loads_and_says_in_a_line_what_it_is(name: str) -> None:
    spec = NerfSpec.load(name)
    assert spec.name == name
    assert len(spec.description.strip()) > 20


@pytest.mark.parametrize(("name", "axis"), ONE_AXIS.items())
def test_a_preset_for_one_axis_has_that_axis_of_the_weak_rover_and_no_other(name: str, axis: str) -> None:
    weak = {place: item for place, item in limits_of(NerfSpec.load("rover-weak")).items() if item[0] == axis}
    assert limits_of(NerfSpec.load(name)) == weak


@pytest.mark.parametrize("name", ["rover-weak", "rover-feeble", "rover-random"])
def test_a_rovers_traction_is_enough_for_its_envelopes_stop(name: str) -> None:
    spec = NerfSpec.load(name)
    assert spec.envelope is not None
    stop = spec.envelope.channels["linear.x"].stop_deceleration
    effort = spec.channels["linear.x"].effort
    assert stop is not None
    assert effort is not None
    assert low(effort.nerfed) >= 1.05 * ROVER.mass * stop  # and a little for the wheels' inertia


def test_the_preset_none_limits_nothing() -> None:
    assert limits_of(NerfSpec.load("none")) == {}


def test_the_random_preset_draws_what_the_weak_rover_fixes() -> None:
    drawn = limits_of(NerfSpec.load("rover-random"))
    assert set(drawn) == set(limits_of(NerfSpec.load("rover-weak")))
    assert all(isinstance(limit.nerfed, Distribution) for _, limit in drawn.values())  # type: ignore[attr-defined]
