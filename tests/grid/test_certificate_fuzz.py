"""Random small courses: what the solver proves, and what an exhaustive search through the kernels finds.

`COURSES=500 pytest tests/grid/test_certificate_fuzz.py` plays more of them.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from tests.grid.plants import course_of
from tests.grid.test_certificate import Everything, proved

COURSES = int(os.environ.get("COURSES", "50"))

LEGEND = {
    "L": {"kind": "block", "mass": 1.0, "friction": 0.3},
    "H": {"kind": "block", "mass": 6.0, "friction": 0.45},
    "G": {"kind": "gate", "period": 10.0, "open": 4.0, "phase": 1.0},
    "g": {"kind": "gate", "period": 8.0, "open": 3.0, "phase": 3.0},
    "t": {"kind": "step", "height": 0.02},
    "T": {"kind": "step", "height": 0.3},
    "e": {"kind": "ramp", "height": 0.04, "direction": "east"},
    "E": {"kind": "ramp", "height": 0.3, "direction": "east"},
    "w": {"kind": "ramp", "height": 0.12, "direction": "west"},
    "s": {"kind": "ramp", "height": 0.12, "direction": "south"},
    "f": {"kind": "fragile", "mass": 0.3, "impulse": 0.2},
    "n": {"kind": "no_go"},
    "c": {"kind": "coin"},
    "k": {"kind": "key"},
    "x": {"kind": "chest"},
}


def random_course(seed: int):
    """A course of 4 by 6 inner cells or a corridor of 8, with up to five elements and a coin or a chest."""
    rng = np.random.default_rng((seed, 0xC0))
    rows, columns = (1, 8) if seed % 2 == 0 else (3, 5)
    inner = np.full((rows, columns), ".")
    cells = rng.permutation(rows * columns)
    walls = 0 if rows == 1 else int(rng.integers(2, 6))
    inner.flat[cells[:walls]] = "#"
    chest = bool(rng.random() < 0.25)
    bodies = ["S", "x", "k"] if chest else ["S", "c"]
    kinds = "LHtTeEwsfnGg" if seed % 3 == 0 else "LLHtTeEwsfn"
    bodies += list(rng.choice(list(kinds), size=int(rng.integers(1, 5))))
    timed = [symbol for symbol in bodies if symbol in "Gg"]
    bodies = [symbol for symbol in bodies if symbol not in "Gg"] + timed[:2]
    spots = cells[walls : walls + len(bodies)]
    inner.flat[spots] = bodies[: len(spots)]
    if rows == 1:  # the start at one end, so that everything lies on the way
        line = [symbol for symbol in inner[0] if symbol != "S"]
        inner[0] = ["S", *line]
    rows_of_text = ["#" * (columns + 2), *("#" + "".join(row) + "#" for row in inner), "#" * (columns + 2)]
    legend = {symbol: LEGEND[symbol] for symbol in LEGEND if any(symbol in row for row in rows_of_text)}
    goal = "chest" if chest else "coin"
    return course_of(rows_of_text, legend, f"{{goal: {{kind: {goal}}}, horizon: 40}}")


@pytest.mark.parametrize("seed", range(COURSES))
def test_the_proof_of_a_random_course_is_what_its_kernels_do(seed: int) -> None:
    level = random_course(seed)
    for lifted in (False, True):
        _, reached = proved(level, lifted)
        path = Everything(level, lifted).way()
        assert (path is not None) == bool(reached), (lifted, level.elements)
