"""Worker processes that run tasks and report progress. They end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import time
from collections.abc import Callable, Hashable
from typing import Any, Literal, NamedTuple

from nerfbot.errors import InvalidCommand, NerfbotError

REPORT_SECONDS = 0.5
"""Shortest time between two reports of progress by one process."""


class Message(NamedTuple):
    """What a process says of the task `key`: its progress, its result, or the one line of its error."""

    kind: Literal["progress", "result", "error"]
    key: Any
    payload: Any


class Workers:
    """`count` spawned processes that call `work(task, report)` on each task; `report` takes any progress.

    A context manager: on leaving, the processes are ended, whatever they do.
    """

    def __init__(self, work: Callable[[Any, Callable[[Any], None]], Any], count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._tasks, self._messages = context.Queue(), context.Queue()
        self.processes = [
            context.Process(target=_serve, args=(work, self._tasks, self._messages), daemon=True)
            for _ in range(count)
        ]
        for process in self.processes:
            process.start()

    def put(self, key: Hashable, task: Any) -> None:
        """Hand out a task."""
        self._tasks.put((key, task))

    def next_message(self) -> Message | None:
        """The next message; None where half a second brings none.

        Raises `InvalidCommand` once every process has ended: none does by itself.
        """
        try:
            message: Message = self._messages.get(timeout=0.5)
        except queue.Empty:
            codes = [process.exitcode for process in self.processes]
            if None not in codes:
                raise InvalidCommand(
                    f"every worker process has ended (exit codes {codes}); is there enough memory?"
                ) from None
            return None
        return message

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join(5)


def _serve(work: Callable[[Any, Callable[[Any], None]], Any], tasks: Any, messages: Any) -> None:
    """A worker process: runs tasks until its parent has ended or ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while not _is_orphan():
        try:
            key, task = tasks.get(timeout=2.0)
        except queue.Empty:
            continue
        last = 0.0

        def report(progress: Any, key: Any = key) -> None:
            nonlocal last
            if time.monotonic() - last > REPORT_SECONDS:
                last = time.monotonic()
                if _is_orphan():
                    os._exit(1)  # without waiting for a queue that nobody reads
                messages.put(Message("progress", key, progress))

        try:
            messages.put(Message("result", key, work(task, report)))
        except NerfbotError as problem:
            messages.put(Message("error", key, str(problem)))
        except Exception as problem:
            messages.put(Message("error", key, f"{type(problem).__name__}: {problem}"))


def _is_orphan() -> bool:
    """Whether the process that started this one has ended: it may have been killed."""
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()
