"""Real-time priority, so that a busy machine or a flood of messages does not delay what must stop the robot.

It follows ros2_control's controller manager: a process requests the priority at its start, and where the
system refuses, it says so and runs without. A line in `/etc/security/limits.conf` gives it to a user:
`- rtprio 20`.
"""

from __future__ import annotations

import contextlib
import os


def request(level: int) -> str:
    """Give every thread of this process the real-time priority `level` (SCHED_RR, 1 to 99; 0: none).

    Returns "" or why the system refuses; then nothing changes for this thread.
    """
    if level == 0:
        return ""
    if not hasattr(os, "sched_setscheduler"):
        return "this system has no real-time priorities"
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(level))
    except OSError as error:
        return str(error.strerror)
    _set_all(os.SCHED_RR, level)
    return ""


def release() -> None:
    """Give every thread of this process the ordinary priority again."""
    if hasattr(os, "sched_setscheduler"):
        _set_all(os.SCHED_OTHER, 0)


def _set_all(policy: int, level: int) -> None:
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):  # the thread has ended meanwhile
            os.sched_setscheduler(int(thread), policy, os.sched_param(level))
