"""How often grid and PyBullet come to the same outcome, element by element: the table of docs/grid.md.

    .venv/bin/python benchmarks/fidelity.py --placements 100
    .venv/bin/python benchmarks/fidelity.py step fog --disagreements

It plays the situations of tests/fidelity, over more placements than the tests do.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.fidelity.situations import SITUATIONS, play


def main() -> None:
    """Print one line an element."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("elements", nargs="*", metavar="element", help=", ".join(SITUATIONS))
    parser.add_argument("--placements", type=int, default=100)
    parser.add_argument("--disagreements", action="store_true", help="say what was drawn where they differ")
    given = parser.parse_args()
    unknown = sorted(set(given.elements) - set(SITUATIONS))
    if unknown:
        parser.error(f"unknown element {unknown[0]!r}: must be one of {', '.join(SITUATIONS)}")
    print("| element | trials | same outcome | seconds |\n|---|---|---|---|")
    for name in given.elements or SITUATIONS:
        began = time.perf_counter()
        results = [play(name, number) for number in range(given.placements)]
        apart = [result for result in results if result.grid != result.rover]
        share = 1.0 - len(apart) / len(results)
        print(f"| {name} | {len(results)} | {share:.0%} | {time.perf_counter() - began:.0f} |", flush=True)
        for result in apart if given.disagreements else ():
            print(f"  {result.note}: grid {result.grid}, rover {result.rover}", flush=True)


if __name__ == "__main__":
    main()
