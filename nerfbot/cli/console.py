"""What commands that train or measure share: progress on stderr, tables, a missing package as one line."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rich.box import Box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from nerfbot.errors import InvalidCommand, MissingDependency

PLAIN_SECONDS = 10.0
"""Between two lines of progress where there is no terminal."""


@contextlib.contextmanager
def needs_training() -> Iterator[None]:
    """Turn a missing package into the line that says what to install."""
    try:
        yield
    except ImportError as problem:
        raise MissingDependency(f"needs {problem.name}; install nerfbot[grid,train]") from None


def output_folder(out: str, default: Path, file: str, resume: bool) -> Path:
    """The folder to write. Raises `InvalidCommand` where it holds `file` already, unless to `resume`."""
    folder = Path(out) if out else default
    if (folder / file).exists() and not resume:
        raise InvalidCommand(f"{folder}: holds results already; add --resume to go on, or --out for others")
    return folder


@contextlib.contextmanager
def progress_bar(line_per_text: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """Show progress on stderr while a command runs: call the result with text, done and total.

    On a terminal one line shows the latest text, or with `line_per_text` every text has a line of its own.
    Elsewhere lines are printed: once a part of a text is done, every `PLAIN_SECONDS` from then on, and at its
    end.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<48}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    tasks = {}

    printed: dict[str, float] = {}

    def show(text: str, done: int, total: int) -> None:
        if not console.is_terminal:
            now = time.monotonic()
            if done == 0:  # bad input is one line, and nothing has been done yet
                return
            if done >= total or now - printed.get(text, -math.inf) >= PLAIN_SECONDS:
                printed[text] = now
                console.print(f"{text}: {done} of {total}", markup=False, highlight=False)
            return
        bar.start()  # not before there is something to show: bad input is one line
        key = text if line_per_text else ""
        if key not in tasks:
            tasks[key] = bar.add_task(text)
        bar.update(tasks[key], description=text, completed=done, total=total)

    try:
        yield show
    finally:
        bar.stop()


def table_of(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    title: str | None = None,
    texts: int = 1,
    box: Box | None = None,
) -> Table:
    """A table whose first `texts` columns are left-aligned, the others numbers; borderless with a `box`."""
    table = Table(title=title) if box is None else Table(box=box, show_edge=False, pad_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < texts else "right")
    for row in rows:
        table.add_row(*row)
    return table
