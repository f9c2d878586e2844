"""The emulator process: it starts in time or not at all, and it ends with the process that started it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nerfbot.hardware.emulator import process
from nerfbot.hardware.emulator.process import BusProcess, EmulatedBus, wait_until
from nerfbot.hardware.errors import BusError

pytestmark = pytest.mark.realtime

OWNER = """
import sys, time
from pathlib import Path
from nerfbot.hardware.emulator.process import EmulatedBus
bus = EmulatedBus(folder=Path(sys.argv[1]))
print(bus.process.pid, flush=True)
time.sleep(60.0)
"""


def is_running(pid: int) -> bool:
    """Whether the process ``pid`` runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_program_that_does_not_start_in_time_is_ended(monkeypatch, tmp_path):
    started = []
    popen = subprocess.Popen

    def recorded(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(process, "START_TIMEOUT", 0.01)
    monkeypatch.setattr(process.subprocess, "Popen", recorded)
    with pytest.raises(BusError, match=r"nerfbot.hardware.emulator: did not start within 0.01 s"):
        EmulatedBus(folder=tmp_path)
    assert started[0].returncode is not None


def test_a_program_that_ends_at_once_is_reported_with_its_own_line():
    with pytest.raises(BusError, match="did you mean 'so101'"):
        EmulatedBus("so102")
    with pytest.raises(BusError, match=r"No module named nerfbot\.nowhere"):
        BusProcess("nerfbot.nowhere", None, 0, ())


def test_an_emulator_ends_with_a_parent_that_is_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        emulator = int(owner.stdout.readline())
        assert is_running(emulator)
        owner.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not is_running(emulator), 5.0)
