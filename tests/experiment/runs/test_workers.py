from __future__ import annotations

import os

import pytest

from nerfbot.errors import InvalidCommand
from nerfbot.experiment.runs.workers import Message, Workers

pytestmark = pytest.mark.realtime


def work(task, report):
    """Divide 12 by the task; exit where it is no number."""
    if task is None:
        os._exit(3)
    report("dividing")
    if task < 0:
        raise InvalidCommand(f"task = {task}: must not be negative")
    return 12 // task


def messages_of(workers):
    while True:
        message = workers.next_message()
        if message is not None:
            yield message


def test_tasks_report_progress_and_end_with_a_result_or_one_line():
    with Workers(work, 1) as workers:
        messages = messages_of(workers)
        for key, task in {"three": 3, "minus": -1, "zero": 0}.items():
            workers.put(key, task)
        assert next(messages) == Message("progress", "three", "dividing")
        assert next(messages) == Message("result", "three", 4)
        assert next(messages).kind == "progress"
        assert next(messages) == Message("error", "minus", "task = -1: must not be negative")
        assert next(messages).kind == "progress"
        assert next(messages).payload.startswith("ZeroDivisionError: ")
    assert not any(process.is_alive() for process in workers.processes)


def test_a_task_that_kills_every_process_is_an_error():
    with Workers(work, 1) as workers:
        workers.put("last", None)
        with pytest.raises(InvalidCommand, match=r"every worker process has ended \(exit codes \[3\]\)"):
            next(messages_of(workers))
