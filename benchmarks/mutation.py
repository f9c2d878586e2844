"""Mutation testing: would the tests notice if the code were wrong?

    python benchmarks/mutation.py nerfbot/limits:tests/limits nerfbot/powers:tests/powers --sample 300

Every place where the code could be wrong in a small way (a comparison, an operator, a number, a condition
or a statement left out) is a mutant. A seeded sample of them is tried one by one, each in a copy of the
project, with the tests of its package, interpreted (no compile time, no stale cache). Texts, annotations and
docstrings are left alone. ``--out`` records finished mutants, so that an interrupted run continues; survivors
are tried again, in case a test has been added. ``equivalent_mutants.yaml`` lists, with
reasons, the mutants that behave like the original; they do not count.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import copy
import difflib
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import yaml
from rich.progress import Progress

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.yaml")

SWAPS: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.UAdd: ast.USub,
    ast.USub: ast.UAdd,
}
CALLS = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "any": "all", "all": "any"}


class Mutant(NamedTuple):
    """One small change: which file, which node (by its number in walking order), and what becomes of it."""

    file: str
    node: int
    part: int
    line: int
    change: str

    @property
    def id(self) -> str:
        """A name that stays the same while the file does."""
        digest = hashlib.sha256((ROOT / self.file).read_bytes()).hexdigest()[:12]
        return f"{self.file}@{digest}:{self.line}:{self.node}:{self.part}:{self.change}"

    @property
    def code(self) -> str:
        """The line that it changes."""
        return (ROOT / self.file).read_text().splitlines()[self.line - 1].strip()


def changes(node: ast.AST) -> Iterator[tuple[str, Callable[[ast.AST], ast.AST | None]]]:
    """The ways in which a node can be wrong: a name, and a function that edits it or gives another node."""
    if isinstance(node, ast.Compare):
        for index in range(len(node.ops)):
            yield f"comparison {index}", lambda n, i=index: n.ops.__setitem__(i, SWAPS[type(n.ops[i])]())
    elif isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)):
        yield "operator", lambda n: setattr(n, "op", SWAPS[type(n.op)]())
    elif isinstance(node, ast.UnaryOp):
        yield "sign dropped", lambda n: n.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "truth", lambda n: ast.Constant(not n.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        yield "number", lambda n: ast.Constant(n.value + 1)
    elif isinstance(node, (ast.If, ast.While, ast.IfExp, ast.Assert)):
        yield "condition", lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))
    elif isinstance(node, ast.Return) and getattr(node.value, "value", ...) is not None:
        yield "nothing returned", lambda n: setattr(n, "value", ast.Constant(None))
    elif isinstance(node, (ast.Break, ast.Continue, ast.Raise)):
        yield "left out", lambda n: ast.Pass()
    elif isinstance(node, (ast.Assign, ast.Expr)) and not isinstance(node.value, ast.Constant):
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            yield "left out", lambda n: ast.Pass()
    elif isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in CALLS:
            field = "attr" if isinstance(node.func, ast.Attribute) else "id"
            yield "call", lambda n, f=field, to=CALLS[name]: setattr(n.func, f, to)


def code_nodes(tree: ast.Module) -> Iterator[tuple[int, ast.AST]]:
    """Nodes that are code, with their number in walking order; annotations and imports are not."""
    skipped: set[int] = set()
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in skipped:
            skipped.update(id(child) for child in ast.iter_child_nodes(node))
            continue
        for field in ("annotation", "returns", "decorator_list"):
            part = getattr(node, field, None)
            skipped.update(id(item) for item in (part if isinstance(part, list) else [part]) if item)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            skipped.add(id(node.value))
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            skipped.update(id(child) for child in ast.iter_child_nodes(node))
            continue
        yield number, node


def find(package: str) -> list[Mutant]:
    """All mutants of a package, in the order of its files and lines."""
    mutants = []
    for path in sorted((ROOT / package).rglob("*.py")):
        name = str(path.relative_to(ROOT))
        for number, node in code_nodes(ast.parse(path.read_text())):
            for part, (change, _) in enumerate(changes(node)):
                mutants.append(Mutant(name, number, part, getattr(node, "lineno", 0), change))
    return mutants


def mutate(mutant: Mutant) -> str:
    """The source of the mutant's file with the change made."""
    tree = ast.parse((ROOT / mutant.file).read_text())
    node = dict(code_nodes(tree))[mutant.node]
    replaced = copy.copy(node)
    other = list(changes(node))[mutant.part][1](replaced)
    target = other if other is not None else replaced

    class Swap(ast.NodeTransformer):
        def visit(self, item: ast.AST) -> ast.AST:
            return target if item is node else self.generic_visit(item)

    return ast.unparse(ast.fix_missing_locations(Swap().visit(tree)))


def difference(mutant: Mutant) -> list[str]:
    """What the mutant changes, as the lines of a diff without its header."""
    plain = ast.unparse(ast.parse((ROOT / mutant.file).read_text()))
    lines = difflib.unified_diff(plain.splitlines(), mutate(mutant).splitlines(), n=0, lineterm="")
    return [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def equivalents() -> dict[str, list[tuple[str, str]]]:
    """The mutants that are no change at all, by file: what the line was, and what it becomes."""
    equivalent: dict[str, list[tuple[str, str]]] = {}
    for entry in yaml.safe_load(EQUIVALENT.read_text()):
        equivalent.setdefault(entry["file"], []).append((entry["was"], entry["becomes"]))
    return equivalent


def counts(mutant: Mutant, known: dict[str, list[tuple[str, str]]]) -> bool:
    """Whether a test could kill the mutant."""
    if mutant.file not in known:
        return True
    lines = [(line[0], line[1:].strip()) for line in difference(mutant)]
    return not any(("-", was) in lines and ("+", becomes) in lines for was, becomes in known[mutant.file])


def copy_project(to: Path) -> None:
    """Copy what the tests need, and compile it once: a mutant's own file is compiled anew, in memory."""
    skip = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("nerfbot", "sim", "hardware", "tests", "docs"):
        shutil.copytree(ROOT / name, to / name, symlinks=True, ignore=skip)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, to / name)
    for name in ("nerfbot", "tests"):
        compileall.compile_dir(to / name, quiet=2)


def passes(folder: Path, tests: str, seconds: float, first: str = "") -> bool:
    """Whether the tests pass in the copy; one that hangs has noticed. ``first``: a module to start with."""
    environment = {
        **os.environ,
        "NUMBA_DISABLE_JIT": "1",
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    own = f"{tests}/test_{Path(first).stem}.py"
    order = [own, tests] if (folder / own).exists() else [tests]
    # The first failure is enough: no test is rewritten to tell more, no example is made smaller.
    brief = ["-x", "-q", "-n", "0", "--assert=plain", "--tb=no", "--hypothesis-profile=mutation"]
    command = [sys.executable, "-m", "pytest", *brief, *order]
    try:
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0


def main() -> int:
    """Draw, try, report; 1 when fewer than ``--least`` of the mutants are killed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", nargs="+", metavar="PACKAGE:TESTS")
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--least", type=float, default=0.95)
    parser.add_argument("--json", action="store_true", help="print the result for machines")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "mutation.jsonl")
    options = parser.parse_args()
    pairs = dict(pair.split(":") for pair in options.pairs)
    mutants = [(mutant, tests) for package, tests in pairs.items() for mutant in find(package)]
    sample = random.Random(options.seed).sample(mutants, min(options.sample, len(mutants)))
    known = equivalents()
    drawn = [item for item in sample if counts(item[0], known)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = {}
    if options.out.exists():
        rows = map(json.loads, options.out.read_text().splitlines())
        done = {row["id"]: row for row in rows if row["killed"]}
    lock, local = threading.Lock(), threading.local()

    with tempfile.TemporaryDirectory() as scratch, Progress(disable=options.json) as progress:
        limits = {}
        for tests in pairs.values():
            folder = Path(scratch) / f"plain-{len(limits)}"
            copy_project(folder)
            began = time.monotonic()
            if not passes(folder, tests, 600.0):
                print(f"mutation: {tests} fails without any mutant", file=sys.stderr)
                return 2
            limits[tests] = 20.0 + 5.0 * (time.monotonic() - began)
        bar = progress.add_task(f"{len(drawn)} of {len(mutants)} mutants", total=len(drawn))

        def attempt(item: tuple[Mutant, str]) -> None:
            mutant, tests = item
            if mutant.id not in done:
                if not hasattr(local, "folder"):
                    local.folder = Path(tempfile.mkdtemp(dir=scratch))
                    copy_project(local.folder)
                original = (ROOT / mutant.file).read_text()
                (local.folder / mutant.file).write_text(mutate(mutant))
                killed = not passes(local.folder, tests, limits[tests], mutant.file)
                (local.folder / mutant.file).write_text(original)
                with lock, options.out.open("a") as file:
                    done[mutant.id] = {"id": mutant.id, "killed": killed}
                    file.write(json.dumps(done[mutant.id]) + "\n")
            progress.advance(bar)

        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(attempt, drawn))

    survivors = sorted(mutant for mutant, _ in drawn if not done[mutant.id]["killed"])
    share = 1.0 - len(survivors) / len(drawn)
    if options.json:
        plain = [
            {"file": mutant.file, "line": mutant.line, "change": mutant.change, "diff": difference(mutant)}
            for mutant in survivors
        ]
        sizes = {"candidates": len(mutants), "drawn": len(sample), "equivalent": len(sample) - len(drawn)}
        print(json.dumps({**sizes, "killed": share, "survivors": plain}))
        return 0 if share >= options.least else 1
    for mutant in survivors:
        print(f"survived {mutant.file}:{mutant.line} [{mutant.change}] {mutant.code}")
        for line in difference(mutant):
            print(f"    {line}")
    print(
        f"killed {len(drawn) - len(survivors)} of {len(drawn)} ({share:.1%}); drawn from {len(mutants)},"
        f" {len(sample) - len(drawn)} equivalent ones left out"
    )
    return 0 if share >= options.least else 1


if __name__ == "__main__":
    sys.exit(main())
