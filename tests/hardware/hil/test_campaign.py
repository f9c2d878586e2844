"""The campaign: its statistics, an oracle that can say no, and a short run of every fault."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

from nerfbot.cli import main
from nerfbot.errors import InvalidCommand
from nerfbot.hardware.hil import campaign
from nerfbot.hardware.hil.faults import FAULTS, SITUATIONS
from nerfbot.hardware.hil.oracle import Oracle
from nerfbot.hardware.hil.statistics import percentile, upper_bound
from nerfbot.hardware.robot import ServoRobot

pytestmark = pytest.mark.realtime

ROBOT = ServoRobot.load("so101")
STS = ROBOT.joints[0].servo


@pytest.mark.parametrize(
    ("cases", "trials", "bound"),
    # Clopper and Pearson's exact intervals: 1 - 0.05**(1/n) for none; tables for the others.
    [(0, 59, 0.0495), (0, 2000, 0.001497), (1, 100, 0.0466), (5, 100, 0.1023), (3, 3, 1.0), (0, 0, 1.0)],
)
def test_the_bound_is_clopper_and_pearsons(cases, trials, bound):
    assert upper_bound(cases, trials) == pytest.approx(bound, abs=6e-5)


def test_percentiles_are_values_that_occurred():
    values = [float(value) for value in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([], 0.5)) == (50.0, 99.0, None)


def line(time=1.0, id=1, torque=1, counts=2048, **values):
    """A line of the emulator's log: a write of neighbouring registers."""
    registers = sorted((STS.register(name) for name in values), key=lambda register: register.address)
    data = b"".join(register.encode(values[register.name]) for register in registers)
    return [time, "w", id, registers[0].address, data.hex(), 0, counts, 0.0, torque]


BAD = {
    "goal outside the range": (line(goal_position=3500, counts=3490), "goal_position = 3500"),
    "more torque than the envelope": (line(torque_limit=800), "torque_limit = 800"),
    "faster than the envelope": (line(goal_velocity=2000), "goal_velocity = 2000"),
    "unlimited speed": (line(goal_velocity=0), "goal_velocity = 0"),
    "unlimited acceleration": (line(acceleration=0), "acceleration = 0"),
    "EEPROM with torque on": (line(max_torque_limit=500), "written to EEPROM with torque on"),
    "a goal far ahead": (line(goal_position=2500), "ahead of the joint"),
}


@pytest.mark.parametrize("case", BAD)
def test_the_oracle_says_no_to(case):
    bad, message = BAD[case]
    oracle = Oracle(ROBOT)
    assert any(message in text for text in oracle.violations(oracle.writes([bad])))


def test_the_oracle_says_yes_to_what_the_envelope_allows():
    oracle = Oracle(ROBOT)
    good = [
        line(goal_position=2100),
        line(torque_limit=784),
        line(goal_velocity=1955),
        line(acceleration=130),
        line(max_torque_limit=784, torque=0),
    ]
    assert oracle.violations(oracle.writes(good)) == []


def evaluated(*leads, cause=1.0, **more):
    lines = [line(cause + 0.01 * (k + 1), goal_position=2048 + lead) for k, lead in enumerate(leads)]
    return Oracle(ROBOT).evaluate(lines, cause, [1], {1: 1}, before=[line(0.99, goal_position=2148)], **more)


def test_a_stop_is_the_first_write_after_which_nothing_pulls():
    assert evaluated(100, 90, 0, 0, 0, 0, 0).stopped == pytest.approx(1.03)
    assert evaluated(0, 0, 0, 0, 0, 0).stopped == pytest.approx(1.01)


def test_a_goal_behind_where_the_joint_has_been_holds_it_and_does_not_pull():
    lines = [
        line(1.0 + 0.01 * k, goal_position=2060, counts=counts)
        for k, counts in enumerate((2050, 2070, 2060, 2040, 2030, 2040))
    ]
    verdict = Oracle(ROBOT).evaluate(
        lines, 1.0, [1], {1: 1}, before=[line(0.99, goal_position=2148)], until=1.2
    )
    assert (verdict.cycles, verdict.stopped) == (0, 1.0)
    # an arm that had stopped before, and swings back to the goal that holds it: there is nothing to stop
    swung = [line(0.9, goal_position=2060, counts=2062), line(0.95, goal_position=2060, counts=2040)]
    assert not Oracle(ROBOT).evaluate([], 1.0, [1], {1: 1}, before=swung, until=1.2).pulled


def test_cycles_are_counted_in_which_a_goal_pulls_once_a_stop_is_due():
    assert evaluated(100, 90, 0, 0, 0, 0, 0).cycles == 2
    assert evaluated(100, 90, 80, 0, 0, 0, 0, allowance=0.025).cycles == 1
    # a stop for another reason in between: the time-out begins anew
    assert evaluated(100, 90, 0, 80, 80, 80, 0, 0, 0, 0, allowance=0.025).cycles == 1
    assert evaluated(0, 0, 0, 0).cycles == 0
    assert evaluated(-80, -40, 0, 0, 0, 0).stopped == pytest.approx(1.01)


@pytest.mark.parametrize("leads", [(100, 100, 100, 100), (0, 0, 0, 0, 100), (100, 100, 0)])
def test_a_goal_that_pulls_at_the_end_or_until_just_before_is_no_stop(leads):
    assert evaluated(*leads).stopped is None
    assert evaluated(*leads).pulled


def test_a_stop_after_which_nothing_more_is_written_is_one_if_the_log_was_watched_on():
    lines = [line(1.01, goal_position=2048)]
    oracle, before = Oracle(ROBOT), [line(0.99, goal_position=2148)]
    assert oracle.evaluate(lines, 1.0, [1], {1: 1}, before=before, until=1.3).stopped == 1.01
    assert oracle.evaluate(lines, 1.0, [1], {1: 1}, before=before, until=1.02).stopped is None


def test_the_plan_covers_every_fault_in_every_situation():
    rows = campaign.plan_trials(len(FAULTS) * len(SITUATIONS), 3)
    assert len({(name, situation) for name, situation, _ in rows}) == len(rows)
    assert len({seed for _, _, seed in rows}) == len(rows)
    assert campaign.plan_trials(50, 3) == campaign.plan_trials(50, 3)
    assert {kind for fault in FAULTS for kind in [fault.kind]} == {
        "command", "timing", "process", "configuration", "serial", "servo",
    }  # fmt: skip


def test_an_unknown_fault_is_named_with_the_nearest():
    with pytest.raises(InvalidCommand, match=r"'stuk'.*did you mean 'stuck'"):
        campaign.plan_trials(5, 0, ["stuk"])


def test_bad_input_gives_one_line(capsys):
    for arguments, message in (
        (("--port", "/dev/ttyUSB7"), "/dev/ttyUSB7: there is no such port"),
        (("--trials", "0"), "--trials = 0"),
        (("--workers", "0"), "--workers = 0"),
        (("--robot", "so102"), "did you mean 'so101'"),
    ):
        assert main(["hil", "run", *arguments]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert len(err.strip().splitlines()) == 1


def campaign_of(tmp_path, capsys, *arguments):
    code = main(["hil", "run", *arguments, "--margin", "0.008", "--out", str(tmp_path), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_campaign_writes_its_figures_and_both_reports(tmp_path, capsys):
    code, data = campaign_of(tmp_path, capsys, "--trials", "4", "--workers", "2", "--fault", "NaN")
    assert data["trials"] == 4
    assert {"stop_p99_cycles", "seconds", "timer_p99_cycles"} <= set(data)
    bad = data["violations"] + data["missed_stops"]
    assert code == (1 if bad else 0)
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert suite.get("tests") == "4"
    assert (suite.get("failures") == "0") == (bad == 0)
    is_clean = "No violation and no missed stop" in (tmp_path / "report.html").read_text()
    assert is_clean == (bad == 0)


@pytest.mark.slow
def test_a_short_campaign_finds_no_violation_and_no_missed_stop(tmp_path, capsys):
    """Every fault twice, in situations drawn by chance: about a minute."""
    code, data = campaign_of(tmp_path, capsys, "--trials", str(len(FAULTS) * 2), "--workers", "4")
    assert data["problems"] == []
    assert (code, data["violations"], data["missed_stops"]) == (0, 0, 0)
    assert data["trials"] == len(FAULTS) * 2
