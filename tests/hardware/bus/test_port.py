"""The port belongs to one program: the kernel refuses others, and one that was there before is named."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nerfbot.hardware.bus.port import Port, other_holders
from nerfbot.hardware.emulator.process import wait_until
from nerfbot.hardware.errors import PortError

pytestmark = pytest.mark.realtime
NOBODY = 65534
HOLD = 'exec 3<>"$0" && echo open && exec sleep 60'


def another_program(path):
    """A process of its own without root's privileges, which opens the port and says so."""
    Path(path).chmod(0o666)
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    return subprocess.Popen(
        ["sh", "-c", HOLD, path],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/", **user,
    )  # fmt: skip


@pytest.fixture
def path(emulate):
    return os.path.realpath(emulate().port)


def test_no_other_program_opens_a_port_that_is_in_use(path):
    port = Port(path, 1_000_000)
    intruder = another_program(path)
    assert "Device or resource busy" in intruder.communicate(timeout=10)[1]
    port.close()
    intruder = another_program(path)
    assert intruder.stdout.readline() == "open\n"
    intruder.kill()


def test_a_program_that_had_it_open_before_is_named(path):
    holder = another_program(path)
    assert holder.stdout.readline() == "open\n"
    try:
        with pytest.raises(PortError, match=rf"is open in process {holder.pid} \((sh|sleep)\)"):
            Port(path, 1_000_000)
    finally:
        holder.kill()
        holder.wait()
    Port(path, 1_000_000).close()


def test_the_emulator_itself_is_no_second_owner(path):
    assert other_holders(path) == []


def test_a_killed_owner_leaves_the_port_free(path):
    code = (
        "import sys, time; from nerfbot.hardware.bus.port import Port; port = Port(sys.argv[1], 1_000_000);"
        " print('open', flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True)
    assert owner.stdout.readline() == "open\n"
    owner.kill()
    owner.wait()
    time.sleep(0.6)

    def opens():
        intruder = another_program(path)
        opened = intruder.stdout.readline() == "open\n"
        intruder.kill()
        intruder.wait()
        return opened

    assert wait_until(opens, 5.0)
