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
        "finite commands", "joint_command.py", " or not math.isfinite(value):", ":", "test_servo_permit.py"
    ),
    Mutant(
        "command range",
        "joint_command.py",
        "if not low - BEYOND <= value <= high + BEYOND:",
        "if False:",
        "test_servo_permit.py",
    ),
    Mutant(
        "command order",
        "joint_command.py",
        "if source == self._source and sequence <= self._sequence:",
        "if False:",
        "test_servo_permit.py",
    ),
    Mutant(
        "permit runs out", "servo_permit.py", "if not now < self._until:", "if False:", "test_servo_permit.py"
    ),
    Mutant(
        "permit order",
        "servo_permit.py",
        "if last is not None and permit.source == last.source and permit.sequence <= last.sequence:",
        "if False:",
        "test_servo_permit.py",
    ),
    Mutant(
        "permit conflict",
        "servo_permit.py",
        "if now < self._conflict_until:\n            return",
        "if False:\n            return",
        "test_servo_permit.py",
    ),
    Mutant(
        "longest permit",
        "servo_permit.py",
        "not 0.0 < valid <= LONGEST",
        "not 0.0 < valid",
        "test_servo_permit.py",
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
        "shape.begin(state.position)\n                counts[names",
        "pass\n                counts[names",
        "test_driver.py -k commands_cease",
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
        "if not state.torque or (",
        "if (",
        "test_driver.py -k torque_went_off",
    ),
    Mutant(
        "a pause withdraws",
        "driver.py",
        "            self.permits.withdraw()  # nobody knows how long these have been lying here\n",
        "",
        "test_driver.py -k paused",
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


def main() -> int:
    """Try every mutant; print a line for each."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    alive = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        skip = shutil.ignore_patterns(
            ".git", ".venv", "runs", "results", "build", "__pycache__", ".mypy_cache"
        )
        shutil.copytree(ROOT, copy, symlinks=True, ignore=skip)
        for mutant in [*guards(), *MUTANTS]:
            if word not in mutant.name:
                continue
            dead = killed(mutant, copy)
            alive += not dead
            print(f"{'killed' if dead else 'ALIVE '}  {mutant.name:32s} {mutant.tests}", flush=True)
    print(f"{alive} alive")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
