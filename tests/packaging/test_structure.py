"""The map of the house (CONTRIBUTING.md), checked: floors, circles between modules and wings, folders.

Every import counts, also one inside a function or under ``TYPE_CHECKING``.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "nerfbot"

FLOORS = (
    {"errors", "declared", "files", "angles", "html", "media"},
    {"limits"},
    {"powers"},
    {"course"},
    {"grid", "sim", "hardware", "wrappers"},
    {"agents"},
    {"bridge", "experiment"},
    {"cli", "bench"},
)
"""Parts of the package by floor, lowest first. A part imports from its own folder and from lower floors."""

ROOT = {"", "registration"}
"""The package itself and its registration of environments, which name what they load later."""

SAME_FLOOR = {("experiment", "bridge"), ("cli", "bench")}
"""Imports between two parts of one floor, importer first, that the design allows."""

MODULES_PER_FOLDER = 20


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> Mapping[str, Path]:
    """Every module by its name below `nerfbot.`; the package itself is ''."""
    folders = [PACKAGE, *(PACKAGE / link for link in ("sim", "hardware"))]
    files = {path for folder in folders for path in folder.resolve().rglob("*.py")}
    linked = {(PACKAGE / name).resolve(): PACKAGE / name for name in ("sim", "hardware")}
    named = {}
    for path in files:
        for target, link in linked.items():
            if target in path.parents:
                path = link / path.relative_to(target)
        named[module_name(path)] = path
    return named


def imported_by(name: str) -> set[str]:
    """The modules of the package that a module imports, anywhere in its file."""
    path = modules()[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    targets: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            absolute = [alias.name for alias in node.names if alias.name.startswith("nerfbot.")]
            targets |= {known(item.removeprefix("nerfbot.")) for item in absolute}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            elif base == "nerfbot" or base.startswith("nerfbot."):
                base = base.removeprefix("nerfbot").removeprefix(".")
            else:
                continue
            for alias in node.names:
                submodule = f"{base}.{alias.name}".lstrip(".")
                targets.add(submodule if submodule in modules() else known(base))
    return targets - {name}


def known(name: str) -> str:
    """The longest prefix of a dotted name that is a module."""
    while name not in modules():
        name = name.rpartition(".")[0]
    return name


@cache
def imports() -> Mapping[str, set[str]]:
    return {name: imported_by(name) for name in modules()}


def part_of(name: str) -> str:
    return name.partition(".")[0]


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The strongly connected components of more than one node (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in graph.get(node, ()):
            if target not in order:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], order[target])
        if low[node] == order[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1:
                components.append(sorted(component))

    for node in graph:
        if node not in order:
            visit(node)
    return components


def test_every_part_of_the_package_has_a_floor() -> None:
    parts = {part_of(name) for name in modules()} - ROOT
    assert parts == set().union(*FLOORS)


def test_no_module_imports_upwards_or_from_another_part_of_its_floor() -> None:
    floor = {part: level for level, parts in enumerate(FLOORS) for part in parts}
    upwards = [
        f"{name} imports {target}"
        for name, targets in imports().items()
        for target in targets
        if not {part_of(name), part_of(target)} & ROOT
        and part_of(name) != part_of(target)
        and floor[part_of(target)] >= floor[part_of(name)]
        and floor[part_of(name)] > 0
        and (part_of(name), part_of(target)) not in SAME_FLOOR
    ]
    assert not upwards


def test_modules_form_no_circle() -> None:
    assert circles(imports()) == []


@pytest.mark.parametrize("part", sorted(set().union(*FLOORS[1:])))
def test_wings_form_no_circle(part: str) -> None:
    """A wing is a sub-package, or a module beside it; its `__init__` belongs to it."""
    graph: dict[str, set[str]] = defaultdict(set)
    for name, targets in imports().items():
        if part_of(name) != part or name == part:
            continue
        wing = name.split(".")[1]
        inside = {target for target in targets if part_of(target) == part and target != part}
        graph[wing] |= {target.split(".")[1] for target in inside} - {wing}
    assert circles(graph) == []


def test_no_folder_has_too_many_modules() -> None:
    sizes: dict[str, int] = defaultdict(int)
    for path in modules().values():
        sizes[str(path.parent.relative_to(PACKAGE.parent))] += 1
    assert {folder: size for folder, size in sizes.items() if size > MODULES_PER_FOLDER} == {}


def test_every_package_says_what_lives_there() -> None:
    packages = [path for path in modules().values() if path.name == "__init__.py"]
    assert [path for path in packages if not ast.get_docstring(ast.parse(path.read_text()))] == []
