from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("pybullet")

from nerfbot.course import load_course
from nerfbot.sim.plant.plant import Plant

HEAD = """name: yard
title: A yard for tests
cell: 0.5
legend:
  "#": wall
  S: {kind: start, heading: 0}
"""
TAIL = """task:
  goal: {kind: coin}
  horizon: 60
"""


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Callable[..., Plant]]:
    """Builds a plant from the rows of a map and further legend lines; closes it at the end."""
    plants: list[Plant] = []

    def build(rows: list[str], legend: str = "", variation: str = "", **options: object) -> Plant:
        text = HEAD + "".join(f"  {line}\n" for line in legend.splitlines())
        if "C" not in legend:
            text += "  C: {kind: coin}\n"
        text += "map: |\n" + "".join(f"  {row}\n" for row in rows) + variation + TAIL
        path = tmp_path / f"yard{len(plants)}.yaml"
        path.write_text(text)
        plants.append(Plant(load_course(path), **options))  # type: ignore[arg-type]
        return plants[-1]

    yield build
    for plant in plants:
        plant.close()
