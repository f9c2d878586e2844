"""Progress of long commands, on a terminal and in a pipe."""

from __future__ import annotations

import pytest

from nerfbot.cli.console import progress_bar


def test_in_a_pipe_progress_is_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as show:
        for done in range(1, 4):
            show("levels", done, 3)
        show("films [bold]", 0, 2)
        show("films [bold]", 1, 2)
    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["levels: 1 of 3", "levels: 3 of 3", "films [bold]: 1 of 2"]
    assert printed.out == ""
