"""Removes every guard of the servo driver, one at a time, and requires a test to fail; prints the list.

`python benchmarks/hardware_mutation.py [WORD]`: only the mutants whose name holds WORD. Works on a copy of
the repository. `--check` only looks whether every quoted line is in its file and every test file exists.
Exit 1 where a mutant survives.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
TESTS = "tests/hardware"


class Mutant(NamedTuple):
    """A text of a file (relative to `hardware/`) and its replacement; ``tests`` (file, options) must notice."""

    name: str
    file: str
    old: str
    new: str
    tests: str


SHAPING, COMMAND = "../nerfbot/limits/shaping.py", "driver/joint_command.py"
PERMIT, SUPERVISION, LATCH = "safety/permit.py", "safety/supervision.py", "safety/estop_latch.py"
BUS, SETUP, REGISTERS = "bus/bus.py", "driver/setup.py", "driver/register_limits.py"
DRIVER, GOALS, FEEDBACK = "driver/driver.py", "driver/goal_writer.py", "driver/feedback.py"
TEST_CONTACT = "driver/test_contact.py"
SERVICE, TEST_ENDING = "driver/service.py", "driver/test_ending.py"
RECOVERY, TEST_RECOVERY = "driver/recovery.py", "driver/test_recovery.py"

TEST_SHAPING, TEST_COMMAND = "test_shaping.py", "driver/test_joint_command.py"
TEST_PERMIT, TEST_SUPERVISION = "safety/test_permit.py", "safety/test_supervision.py"
TEST_LATCH, TEST_PROTOCOL = "safety/test_estop_latch.py", "bus/test_protocol.py"
TEST_BUS, TEST_REGISTERS = "bus/test_bus.py", "driver/test_register_limits.py"
TEST_DRIVER, TEST_FEEDBACK, TEST_STOP = (
    "driver/test_driver.py", "driver/test_feedback.py", "driver/test_stop.py"
)  # fmt: skip

# One line a mutant reads best
# fmt: off
MUTANTS = [
    Mutant("range of goals", SHAPING, "self.at = min(max(bounded, self.low), self.high)", "self.at = bounded",
           TEST_SHAPING),
    Mutant("velocity of goals", SHAPING, "top = min(velocity, self._velocity)", "top = velocity",
           TEST_SHAPING),
    Mutant("acceleration of goals", SHAPING, "push = min(acceleration, self._acceleration)",
           "push = acceleration", TEST_SHAPING),
    Mutant("lead of goals", SHAPING, "bounded = min(max(after, position - lead), position + lead)",
           "bounded = after", TEST_SHAPING),
    Mutant("finite commands", COMMAND, " or not math.isfinite(value):", ":", TEST_COMMAND),
    Mutant("command range", COMMAND, "if not low - RANGE_TOLERANCE <= value <= high + RANGE_TOLERANCE:",
           "if False:", TEST_COMMAND),
    Mutant("command order", COMMAND, "if source == self._source and sequence <= self._sequence:",
           "if False:", TEST_COMMAND),
    Mutant("permit lapses", PERMIT, "if now >= self._until:", "if False:", TEST_PERMIT),
    Mutant("permit of the future", PERMIT, "if permit.sent > now + AHEAD:", "if False:", TEST_PERMIT),
    Mutant("permit order", PERMIT, "elif known is not None and permit.sequence <= known.sequence:",
           "elif False:", TEST_PERMIT),
    Mutant("permit conflict", PERMIT, "if now < self._conflict_until:\n            return self.problem",
           "if False:\n            return self.problem", TEST_PERMIT),
    Mutant("longest permit", PERMIT, "and 0.0 < value <= LONGEST", "and 0.0 < value", TEST_PERMIT),
    Mutant("emergency stop in any permit", PERMIT, "self._estop = self._estop or permit.estop", "pass",
           TEST_PERMIT),
    Mutant("a lift needs a backstop", SUPERVISION, "if not self.backstop:", "if False:", TEST_SUPERVISION),
    Mutant("no lift while something is wrong", SUPERVISION, "if worst and not self.authority.latched:",
           "if False:", TEST_SUPERVISION),
    Mutant("what is wrong ends leases", SUPERVISION, "if severity >= Severity.NO_LIFT:", "if False:",
           TEST_SUPERVISION),
    Mutant("a stop is in the permit", SUPERVISION,
           "stop = self.conditions.reason(Severity.STOP)\n        active", 'stop = ""\n        active',
           TEST_SUPERVISION),
    Mutant("the worst latches", SUPERVISION, "if severity >= Severity.ESTOP:", "if False:",
           TEST_SUPERVISION),
    Mutant("a driver's newer latch is not cleared", SUPERVISION,
           "self._clear_driver if number == self._driver_latch else None", "self._clear_driver",
           TEST_SUPERVISION),
    Mutant("a clear waits for the cause", LATCH, "if cause:", "if False:", TEST_LATCH),
    Mutant("a clear waits for rest", LATCH, "if not stopped:", "if False:", TEST_LATCH),
    Mutant("the latch survives a restart", LATCH, "self.reason = self._read()", 'self.reason = ""',
           TEST_LATCH),
    Mutant("Feetech checksum", "bus/feetech.py", "if checksum(raw[2:-1]) != raw[-1]:", "if False:",
           TEST_PROTOCOL),
    Mutant("Dynamixel CRC", "bus/dynamixel.py", "if crc16(raw[:-2]) != raw[-2] | raw[-1] << 8:", "if False:",
           TEST_PROTOCOL),
    Mutant("read-back", BUS, "            if actual == value:\n                return", "            return",
           f"{TEST_BUS} -k forgets"),
    Mutant("EEPROM with torque off", BUS, 'if self.read(id, "torque_enable"):', "if False:",
           f"{TEST_BUS} -k eeprom_is_refused"),
    Mutant("input thrown away", BUS, "for _ in range(MAX_DISCARDED):", "for _ in range(0):",
           f"{TEST_BUS} -k late"),
    Mutant("exclusive port", "bus/port.py", "exclusive=True", "exclusive=False", f"{TEST_BUS} -k owner"),
    Mutant("effort holds the arm", REGISTERS, 'elif field == "effort" and quantised <',
           "elif False and quantised <", f"{TEST_REGISTERS} -k rounding"),
    Mutant("zero is unlimited", REGISTERS, "if counts < 1:", "if False:",
           f"{TEST_REGISTERS} -k refused_by_name"),
    Mutant("two servos, one ID", SETUP, "if bus.strays[joint.id] - before[joint.id] > 1:", "if False:",
           f"{TEST_REGISTERS} -k one_id"),
    Mutant("wrong model", SETUP, "if number != joint.servo.number:", "if False:",
           f"{TEST_REGISTERS} -k missing"),
    Mutant("stands outside its range", DRIVER,
           "if not state.low - START_MARGIN <= state.position <= state.high + START_MARGIN:", "if False:",
           f"{TEST_DRIVER} -k outside_its_range"),
    Mutant("torque only with a permit", DRIVER, "if not stop and self._command_holds_still():", "if True:",
           f"{TEST_DRIVER} -k without_a_permit_torque"),
    Mutant("stop follows what is measured", GOALS,
           "                goal.follow_measured()\n                values |=", "                values |=",
           TEST_STOP),
    Mutant("a clear needs its number", DRIVER, "permit.clear != self.latch", "permit.clear is None",
           f"{TEST_DRIVER} -k emergency"),
    Mutant("a driver clears once the cause is gone", DRIVER, "if blocking or permit", "if permit",
           f"{TEST_RECOVERY} -k another_stop"),
    Mutant("a clear waits for a still command", DRIVER, " or not self._command_holds_still():\n            return\n        try",
           ":\n            return\n        try", f"{TEST_DRIVER} -k emergency"),
    Mutant("torque waits for the permit", DRIVER, "if blocking or permit.clear != self.latch",
           "if blocking", f"{TEST_RECOVERY} -k table"),
    Mutant("a fired watchdog is acknowledged", RECOVERY, "self._bus.write(joint.id, name, 0)", "pass",
           f"{TEST_RECOVERY} -k koch"),
    Mutant("a lost lock is written again", RECOVERY, "self._bus.write(joint.id, name, value)", "pass",
           f"{TEST_RECOVERY} -k brown"),
    Mutant("a servo with torque is let down before it restarts", DRIVER,
           "if not any(state.torque_on for state in self._servos.to_service()):", "if True:",
           f"{TEST_RECOVERY} -k table"),
    Mutant("changed EEPROM is written", RECOVERY, "if finding.eeprom:", "if False:",
           f"{TEST_RECOVERY} -k table"),
    Mutant("a Dynamixel's error is cleared", RECOVERY, "self._bus.reboot(joint.id)", "pass",
           f"{TEST_RECOVERY} -k koch"),
    Mutant("torque returns where the joint stands", RECOVERY, "goal.shape.begin(state.position)", "pass",
           f"{TEST_RECOVERY} -k returns"),
    Mutant("joints that hold keep their torque", RECOVERY, "if state.torque_on:\n                continue",
           "if False:\n                continue", f"{TEST_RECOVERY} -k others_hold"),
    Mutant("a let-down ends with torque off everywhere", DRIVER,
           "return not any(state.torque_on for state in self.joints)",
           "return now - self._phase_began > self.robot.release_s", f"{TEST_RECOVERY} -k every_servo_says"),
    Mutant("no goal without torque", GOALS, "if not state.torque_on or unreachable:", "if unreachable:",
           TEST_STOP),
    Mutant("a stop at rest writes what is measured", GOALS,
           "self._stop_velocity = self.state.velocity\n        self.follow_measured()",
           "self._stop_velocity = self.state.velocity", f"{TEST_DRIVER} -k at_rest_is_held"),
    Mutant("a held arm does not sink", GOALS, "if not (self._resting and near):", "if True:", TEST_STOP),
    Mutant("an answer after silence is confirmed", FEEDBACK, " or state.missed >= MAX_MISSED", "",
           TEST_FEEDBACK),
    Mutant("by the very next answer", FEEDBACK, "state.unconfirmed = math.nan  # only", "pass  # only",
           TEST_FEEDBACK),
    Mutant("an answer that cannot be true is confirmed", FEEDBACK, "doubtful = far or ", "doubtful = ",
           TEST_FEEDBACK),
    Mutant("an answer wrong in two ways is never believed", FEEDBACK, "if far and mismatch:", "if False:",
           f"{TEST_FEEDBACK} -k never_believed"),
    Mutant("of two answers that differ neither is believed", BUS, "ambiguous.add(id)", "pass",
           f"{TEST_FEEDBACK} -k neither"),
    Mutant("limits outside the cycle's block are looked at in turn", FEEDBACK,
           "state.rotation_mismatches = state.rotation_mismatches + 1 if mismatch else 0", "pass",
           f"{TEST_FEEDBACK} -k closer_look"),
    Mutant("a servo's own watchdog is looked at in turn", FEEDBACK,
           'state.watchdog_fired = values.get("bus_watchdog") == -1', "pass",
           f"{TEST_FEEDBACK} -k within_a_round"),
    Mutant("a stop does not wait for a log", DRIVER, "self._events.append((event, details))",
           "self._log(event, **details)", f"{TEST_FEEDBACK} -k told_after"),
    Mutant("the leader is heard or the follower stops", "driver/teleoperation.py",
           "if len(replies) < len(self._blocks):\n            return None",
           "if False:\n            return None", "driver/test_teleoperation.py -k not_heard"),
    Mutant("an exception ends with a let-down", SERVICE, "        service.finish()\n", "", f"{TEST_ENDING} -k for_good"),
    Mutant("a cycle that fails for good has a last resort", SERVICE,
           "left = let_down(self.bus, self.config.robot, limits, self.clock, self.sleep)", "left = []",
           f"{TEST_ENDING} -k for_good"),
    Mutant("the last resort lowers the effort", "driver/let_down.py", "* (1.0 - step / STEPS)", "",
           f"{TEST_ENDING} -k for_good"),
    Mutant("a signal ends with a let-down", SERVICE, "    signal.SIGHUP,\n", "", f"{TEST_ENDING} -k SIGHUP"),
    Mutant("a log that raises ends nothing", DRIVER, "except Exception as problem:  # a log",
           "except KeyError as problem:  # a log", f"{TEST_RECOVERY} -k log_that_raises"),
    Mutant("the log is tried again", SERVICE, "self._audit.retry(now)", "pass", f"{TEST_ENDING} -k disk"),
    Mutant("a gripper may hold for long", "driver/guards.py", " and not joint.is_gripper", "", f"{TEST_CONTACT} -k holds"),
    Mutant("an arm joint may not", "driver/guards.py", "joint.pressing_for > CONTACT_TIME", "False",
           f"{TEST_CONTACT} -k moment"),
    Mutant("nor press too hard", "driver/guards.py", "abs(joint.effort) > joint.max_pressing:", "False:",
           f"{TEST_CONTACT} -k sustained"),
    Mutant("nor hot", "driver/guards.py", "joint.temperature > joint.temperature_limit - PRESSING_MARGIN:", "False:",
           f"{TEST_CONTACT} -k hot"),
    Mutant("what does not push is stuck", "driver/guards.py", "joint.blocked_for - joint.pressing_for > STUCK_TIME",
           "False", f"{TEST_CONTACT} -k hot"),
    Mutant("what pushes presses", GOALS, "if push >= PRESSING * effort_counts * self.effort.scale:", "if False:",
           f"{TEST_CONTACT} -k holds"),
    Mutant("a line that never rests is named", BUS, "if self.port.clock() > until:", "if False:",
           "bus/test_timing.py -k never_quiet"),
    Mutant("an exchange ends at its deadline", BUS, "if self.port.clock() >= deadline:", "if False:",
           "bus/test_timing.py -k deadline"),
    Mutant("a late answer is no stray", BUS, "if self.port.clock() < self._late_until.get(id, 0.0):", "if False:",
           "bus/test_timing.py -k second_servo"),
    Mutant("a leader that wraps sweeps nothing", "driver/teleoperation.py", "if abs(position - old) > reach:",
           "if False:", "driver/test_teleoperation.py -k sweeps"),
    Mutant("a teleoperation's permits clear", "driver/teleoperation.py", "source.next(clear=clear)", "source.next()",
           "driver/test_teleoperation.py -k operator_clears"),
    Mutant("bus watchdog", RECOVERY, "self._bus.write_checked(id, servo.watchdog, marks[servo.watchdog])", "pass",
           f"{TEST_DRIVER} -k own_watchdog"),
    Mutant("a lift is gone at once", DRIVER, "[min(target, level + step) for",
           "[target if target > level else level - step / 9 for", f"{TEST_DRIVER} -k ramp"),
]
# fmt: on


def guards() -> list[Mutant]:
    """A mutant for every row of the driver's table of guards."""
    file = "driver/guards.py"
    text = (ROOT / "hardware" / file).read_text()
    rows = re.finditer(r'^    Guard\("([a-z-]+)".*\n', text, re.MULTILINE)
    return [Mutant(f"guard {row[1]}", file, row[0], "", "driver/test_guards.py") for row in rows]


def missing(mutants: list[Mutant], folder: Path) -> list[str]:
    """What the mutants quote and ``folder`` does not hold: lines of code, and test files."""
    problems = []
    for mutant in mutants:
        if mutant.old not in (folder / "hardware" / mutant.file).read_text():
            problems.append(f"{mutant.name}: {mutant.file} does not hold {mutant.old!r}")
        if not (folder / TESTS / mutant.tests.split()[0]).is_file():
            problems.append(f"{mutant.name}: there is no {TESTS}/{mutant.tests.split()[0]}")
    return problems


def killed(mutant: Mutant, copy: Path) -> bool:
    """Whether a test fails with the mutant; the copy is as before afterwards."""
    path = copy / "hardware" / mutant.file
    text = path.read_text()
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        tests, *rest = mutant.tests.split()
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", f"{TESTS}/{tests}", *rest]
        environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True)
    finally:
        path.write_text(text)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{mutant.name}: pytest ended with {done.returncode}: {done.stdout.decode()[-400:]}")
    return done.returncode == 1


def report(mutants: list[Mutant], word: str) -> int:
    """Try every mutant whose name holds the word; print a line for each. The exit code."""
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        skip = shutil.ignore_patterns(
            ".git", ".venv", "runs", "results", "build", "__pycache__", ".mypy_cache"
        )
        shutil.copytree(ROOT, copy, symlinks=True, ignore=skip)
        for mutant in mutants:
            if word not in mutant.name:
                continue
            dead = killed(mutant, copy)
            survivors += not dead
            print(f"{'killed' if dead else 'ALIVE '}  {mutant.name:32s} {mutant.tests}", flush=True)
    print(f"{survivors} alive")
    return 1 if survivors else 0


def main(word: str) -> int:
    """Check the mutants, then try them; the exit code."""
    mutants = [*guards(), *MUTANTS]
    problems = missing(mutants, ROOT)
    if problems:
        raise SystemExit("\n".join(problems))
    if word == "--check":
        print(f"{len(mutants)} mutants: every quoted line and test file is there")
        return 0
    return report(mutants, word)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
