"""Takes every guard of the servo driver away, one at a time, and requires a test to fail; prints the list.

`python benchmarks/hardware_mutation.py [WORD]`: only the mutants whose name holds WORD. Works on a copy of
the repository. Exit 1 where a mutant lives.
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
    """A text of a file (relative to `hardware/`) and what it is replaced by; ``tests`` must notice."""

    name: str
    file: str
    old: str
    new: str
    tests: str


MUTANTS = [
    Mutant(
        "range of goals",
        "../nerfbot/limits/shaping.py",
        "self.at = min(max(bounded, self.low), self.high)",
        "self.at = bounded",
        "test_shaping.py",
    ),
    Mutant(
        "velocity of goals",
        "../nerfbot/limits/shaping.py",
        "top = min(velocity, self._velocity)",
        "top = velocity",
        "test_shaping.py",
    ),
    Mutant(
        "acceleration of goals",
        "../nerfbot/limits/shaping.py",
        "push = min(acceleration, self._acceleration)",
        "push = acceleration",
        "test_shaping.py",
    ),
    Mutant(
        "lead of goals",
        "../nerfbot/limits/shaping.py",
        "bounded = min(max(after, position - lead), position + lead)",
        "bounded = after",
        "test_shaping.py",
    ),
    Mutant(
        "finite commands", "joint_command.py", " or not math.isfinite(value):", ":", "test_joint_command.py"
    ),
    Mutant(
        "command range",
        "joint_command.py",
        "if not low - BEYOND <= value <= high + BEYOND:",
        "if False:",
        "test_joint_command.py",
    ),
    Mutant(
        "command order",
        "joint_command.py",
        "if source == self._source and sequence <= self._sequence:",
        "if False:",
        "test_joint_command.py",
    ),
    Mutant("permit lapses", "permit.py", "if now >= self._until:", "if False:", "test_permit.py"),
    Mutant(
        "permit of the future",
        "permit.py",
        "if permit.sent > now + AHEAD:",
        "if False:",
        "test_permit.py",
    ),
    Mutant(
        "permit order",
        "permit.py",
        "elif known is not None and permit.sequence <= known.sequence:",
        "elif False:",
        "test_permit.py",
    ),
    Mutant(
        "permit conflict",
        "permit.py",
        "if now < self._conflict_until:\n            return self.problem",
        "if False:\n            return self.problem",
        "test_permit.py",
    ),
    Mutant("longest permit", "permit.py", "and 0.0 < valid <= LONGEST", "and 0.0 < valid", "test_permit.py"),
    Mutant(
        "emergency stop in any permit",
        "permit.py",
        "self._estop = self._estop or permit.estop",
        "pass",
        "test_permit.py",
    ),
    Mutant(
        "a lift needs a backstop", "oversight.py", "if not self.backstop:", "if False:", "test_oversight.py"
    ),
    Mutant(
        "no lift while something is wrong",
        "oversight.py",
        "if worst and not self.authority.latched:",
        "if False:",
        "test_oversight.py",
    ),
    Mutant(
        "what is wrong ends leases",
        "oversight.py",
        "if severity >= Severity.NO_LIFT:",
        "if False:",
        "test_oversight.py",
    ),
    Mutant(
        "a stop is in the permit",
        "oversight.py",
        "stop = self.ladder.reason(Severity.STOP)\n        active",
        'stop = ""\n        active',
        "test_oversight.py",
    ),
    Mutant(
        "the worst latches",
        "oversight.py",
        "if severity >= Severity.ESTOP:",
        "if False:",
        "test_oversight.py",
    ),
    Mutant(
        "a driver's newer latch is not cleared",
        "oversight.py",
        "self._clear if number == self._below else None",
        "self._clear",
        "test_oversight.py",
    ),
    Mutant("a clear waits for the cause", "latch.py", "if cause:", "if False:", "test_ladder_and_latch.py"),
    Mutant("a clear waits for rest", "latch.py", "if not stopped:", "if False:", "test_ladder_and_latch.py"),
    Mutant(
        "the latch survives a restart",
        "latch.py",
        "self.reason = self._read()",
        'self.reason = ""',
        "test_ladder_and_latch.py",
    ),
    Mutant(
        "Feetech checksum", "feetech.py", "if checksum(raw[2:-1]) != raw[-1]:", "if False:", "test_frames.py"
    ),
    Mutant(
        "Dynamixel CRC",
        "dynamixel.py",
        "if crc16(raw[:-2]) != raw[-2] | raw[-1] << 8:",
        "if False:",
        "test_frames.py",
    ),
    Mutant(
        "read-back",
        "bus.py",
        "            if held == value:\n                return",
        "            return",
        "test_bus.py -k forgets",
    ),
    Mutant(
        "EEPROM with torque off",
        "bus.py",
        'if self.read(id, "torque_enable"):',
        "if False:",
        "test_bus.py -k eeprom_is_refused",
    ),
    Mutant(
        "input thrown away",
        "bus.py",
        "        while data := self.port.read(0.0):\n            self._buffer += data\n",
        "",
        "test_bus.py -k late",
    ),
    Mutant("exclusive port", "port.py", "exclusive=True", "exclusive=False", "test_bus.py -k owner"),
    Mutant(
        "effort holds the arm",
        "firmware.py",
        'elif field == "effort" and quantised <',
        "elif False and quantised <",
        "test_firmware.py -k rounding",
    ),
    Mutant(
        "zero is unlimited",
        "firmware.py",
        "if counts < 1:",
        "if False:",
        "test_firmware.py -k refused_by_name",
    ),
    Mutant(
        "two servos, one ID",
        "connect.py",
        "if bus.strays[joint.id] - before[joint.id] > 1:",
        "if False:",
        "test_firmware.py -k one_id",
    ),
    Mutant(
        "wrong model",
        "connect.py",
        "if number != joint.servo.number:",
        "if False:",
        "test_firmware.py -k missing",
    ),
    Mutant(
        "stands outside its range",
        "driver.py",
        "if not state.low - 0.08 <= state.position <= state.high + 0.08:",
        "if False:",
        "test_driver.py -k outside_its_range",
    ),
    Mutant(
        "torque only with a permit",
        "driver.py",
        "if not stop and self._command_is_still():",
        "if True:",
        "test_driver.py -k without_a_permit_torque",
    ),
    Mutant(
        "stop follows what is measured",
        "driver.py",
        "self._stop(index)\n                counts[names",
        "pass\n                counts[names",
        "test_stop.py",
    ),
    Mutant(
        "a clear needs its number",
        "driver.py",
        "clear == self.latch and",
        "clear is not None and",
        "test_driver.py -k emergency",
    ),
    Mutant(
        "no goal without torque",
        "driver.py",
        "if not state.torque or deaf:",
        "if deaf:",
        "test_stop.py",
    ),
    Mutant(
        "a stop at rest writes what is measured",
        "driver.py",
        "                self._stop(index)\n            elif phase is Phase.RUN:",
        "                pass\n            elif phase is Phase.RUN:",
        "test_driver.py -k at_rest_is_held",
    ),
    Mutant(
        "a held arm does not sink",
        "driver.py",
        "if not (self._resting[index] and near):",
        "if True:",
        "test_stop.py",
    ),
    Mutant(
        "an answer after silence is confirmed",
        "feedback.py",
        " or state.missed >= MISSED",
        "",
        "test_feedback.py",
    ),
    Mutant(
        "by the very next answer",
        "feedback.py",
        "state.suspect = math.nan  # only",
        "pass  # only",
        "test_feedback.py",
    ),
    Mutant(
        "an answer that cannot be true is confirmed",
        "feedback.py",
        "doubtful = far or ",
        "doubtful = ",
        "test_feedback.py",
    ),
    Mutant(
        "an answer wrong in two ways is never believed",
        "feedback.py",
        "if far and wrong:",
        "if False:",
        "test_feedback.py -k never_believed",
    ),
    Mutant(
        "of two answers that differ neither is believed",
        "bus.py",
        "torn.add(got.id)",
        "pass",
        "test_feedback.py -k neither",
    ),
    Mutant(
        "limits outside the cycle's block are looked at in turn",
        "feedback.py",
        "state.different_closer = state.different_closer + 1 if differing else 0",
        "pass",
        "test_feedback.py -k closer_look",
    ),
    Mutant(
        "a servo's own watchdog is looked at in turn",
        "feedback.py",
        'state.watchdog_fired = values.get("bus_watchdog") == -1',
        "pass",
        "test_feedback.py -k within_a_round",
    ),
    Mutant(
        "a stop does not wait for a log",
        "driver.py",
        "self._untold.append((event, details))",
        "self._tell(event, **details)",
        "test_feedback.py -k told_after",
    ),
    Mutant(
        "the leader is heard or the follower stops",
        "teleoperation.py",
        "if len(replies) < len(self._blocks):\n            return None",
        "if False:\n            return None",
        "test_teleoperation.py -k not_heard",
    ),
    Mutant(
        "bus watchdog",
        "driver.py",
        "self.bus.write_checked(joint.id, watchdog, counts)",
        "pass",
        "test_driver.py -k own_watchdog",
    ),
    Mutant(
        "a lift is gone at once",
        "driver.py",
        "[min(want, have + step) for",
        "[want if want > have else have - step / 9 for",
        "test_driver.py -k ramp",
    ),
]


def guards() -> list[Mutant]:
    """A mutant for every row of the driver's table of guards."""
    text = (ROOT / "hardware" / "guards.py").read_text()
    rows = re.findall(r'^    Guard\("([a-z-]+)".*\n', text, re.MULTILINE)
    found = []
    for name in rows:
        row = re.search(rf'^    Guard\("{name}".*\n', text, re.MULTILINE)
        assert row is not None
        found.append(Mutant(f"guard {name}", "guards.py", row.group(0), "", "test_guards.py"))
    return found


def killed(mutant: Mutant, copy: Path) -> bool:
    """Whether a test fails with the mutant; the copy is as before afterwards."""
    path = copy / "hardware" / mutant.file
    text = path.read_text()
    if mutant.old not in text:
        raise SystemExit(f"{mutant.name}: {mutant.file} does not hold {mutant.old!r}")
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
    alive = 0
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
            alive += not dead
            print(f"{'killed' if dead else 'ALIVE '}  {mutant.name:32s} {mutant.tests}", flush=True)
    print(f"{alive} alive")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(report([*guards(), *MUTANTS], sys.argv[1] if len(sys.argv) > 1 else ""))
