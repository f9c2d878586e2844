"""Every body that ships: its nerf bites on its course and its lift helps, and the command tells so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("pybullet")

from nerfbot.cli import main
from nerfbot.errors import InvalidCommand
from nerfbot.limits import NerfSpec
from nerfbot.sim.robots.description import ROBOTS
from nerfbot.sim.scripted.nerf_check import CHECK_CASES, CheckResult, check


@pytest.mark.parametrize("name", ["racecar", "a1"])  # the panda: below; the rover: test_courses
def test_the_nerf_bites_and_the_lift_helps_on_a_first_seed(name: str) -> None:
    bite = check(name, seeds=1, first=40)
    assert (bite.nerfed, bite.lifted) == (0.0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECK_CASES)
def test_the_nerf_bites_and_the_lift_helps_over_twenty_seeds(name: str) -> None:
    assert check(name, seeds=20).holds


def test_every_robot_that_drives_or_lifts_by_itself_is_among_them() -> None:
    robots = {path.stem for path in ROBOTS.glob("*.yaml")}
    assert {body.robot for body in CHECK_CASES.values()} == robots - {"so101"}  # its twin hangs on a bus
    assert all(body.nerf in NerfSpec.presets() for body in CHECK_CASES.values())


@pytest.mark.parametrize(
    ("nerfed", "lifted", "holds"), [(0.2, 0.8, True), (0.25, 1.0, False), (0.0, 0.75, False)]
)
def test_a_nerf_that_does_not_bite_or_a_lift_that_does_not_help_does_not_hold(
    nerfed: float, lifted: float, holds: bool
) -> None:
    assert CheckResult("rover", "rover-weak", "strength", ("strength",), 20, nerfed, lifted).holds is holds


def test_the_command_tells_the_shares(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bodies", "panda", "--seeds", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (panda,) = told["bodies"]
    assert (panda["name"], panda["nerfed"], panda["lifted"], panda["holds"]) == ("panda", 0.0, 1.0, True)


def test_the_page_tells_every_body_as_the_table_has_it() -> None:
    page = (Path(__file__).parents[3] / "docs" / "bodies.md").read_text(encoding="utf-8")
    for name, body in CHECK_CASES.items():
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        assert f"| `{body.nerf}` | `{body.course}`:" in line
        assert f"| {', '.join(body.axes)} |" in line
        *_, nerfed, lifted = (float(part) for part in line.strip("| ").split(" | ")[-2:])
        assert CheckResult(name, body.nerf, body.course, body.axes, 20, nerfed, lifted).holds


def test_an_unknown_body_is_one_line() -> None:
    with pytest.raises(InvalidCommand, match="body: unknown 'raccar'; did you mean 'racecar'"):
        check("raccar")
    with pytest.raises(InvalidCommand, match="seeds: must be at least 1, got 0"):
        check("panda", seeds=0)
