from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pybullet")
pytest.importorskip("warp")

from nerfbot.bridge.cells.cells_env import RoverCells
from nerfbot.course.parser import parse


@pytest.fixture
def bring_up(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts bring-ups with `tmp_path`/run as their folder; ends them, and sees that nothing is left."""
    from tests.bridge.bringups import BringUp

    started: list[BringUp] = []

    def start(*arguments: str, **more: Any) -> BringUp:
        started.append(BringUp(tmp_path / "run", *arguments, **more))
        return started[-1]

    yield start
    for item in started:
        item.end()
        assert item.children() == []


@pytest.fixture
def rover() -> Iterator[Callable[..., RoverCells]]:
    """Makes rovers from cell to cell; closes them at the end."""
    made: list[RoverCells] = []

    def make(*rows: str, legend: str = "", horizon: float = 60.0, **keywords: Any) -> RoverCells:
        if rows:
            keywords["course"] = parse(text_of(rows, legend, horizon)).draw(0)
        made.append(RoverCells(**keywords))
        return made[-1]

    yield make
    for env in made:
        env.close()


def text_of(rows: tuple[str, ...], legend: str, horizon: float) -> str:
    lines = ["name: yard", "cell: 1.0", "legend:", '  "#": wall', "  S: {kind: start, heading: 0}"]
    lines += ["  C: {kind: coin}", *(f"  {line}" for line in legend.splitlines())]
    lines += ["map: |", *(f"  {row}" for row in rows)]
    lines += ["task:", "  goal: {kind: coin}", f"  horizon: {horizon}", "  placebo: '.'"]
    return "\n".join(lines) + "\n"
