"""The files that a run was made with: copied into its folder, with hashes, and compared when it is loaded.

A run can so be measured from any folder, on another machine and after the originals have changed: it plays
its own copies. `changes` says what is no longer as it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nerfbot import __version__
from nerfbot.course.parser import CATALOGUE
from nerfbot.errors import InvalidSpec, one_line
from nerfbot.experiment.protocol.config import ExperimentConfig, InvalidExperiment, RobotTrainingConfig
from nerfbot.files import read_file, read_text, read_yaml, write_atomically
from nerfbot.limits.spec import PRESETS as NERFS
from nerfbot.registration import ENVIRONMENTS

INPUTS = "inputs"
"""Folder in a run's folder that holds the copies, one folder a field."""

INDEX = "index.json"
"""File in it: the version of nerfbot, and for each field the original, the copy and its SHA-256."""

MAX_INPUT = 256_000_000
"""Bytes of the largest file that is kept: a mesh may be large."""


class Input(NamedTuple):
    """A field of a configuration that names a file: its value there, the file, and whether it is shipped."""

    field: str
    value: str
    path: Path
    is_shipped: bool


def inputs_of(config: ExperimentConfig) -> Iterator[Input]:
    """The files that a configuration names, its own or shipped ones: course, tests, nerf and robot."""
    courses = {"course": config.course, **{f"tests.{name}": course for name, course in config.tests.items()}}
    for field, value in courses.items():
        yield _input(field, value)
    if config.nerf != "none":
        yield _input("nerf", config.nerf)
    if isinstance(config, RobotTrainingConfig):
        default = ENVIRONMENTS[config.environment].get("kwargs", {}).get("robot", "rover")
        yield _input("robot", str(config.options.get("robot", default)))


def _input(field: str, value: str, folder: Path = Path()) -> Input:
    """What ships under that name, or the file at a path from `folder`."""
    if field == "robot":
        from nerfbot.sim.robots.description import ROBOTS as shipped
    else:
        shipped = NERFS if field == "nerf" else CATALOGUE
    path = shipped / f"{value}.yaml"
    return Input(field, value, path, True) if path.is_file() else Input(field, value, folder / value, False)


def keep_inputs(config: ExperimentConfig, folder: Path) -> dict[str, str]:
    """Copy every input into the folder, unless it is there; the SHA-256 of each copy by its field.

    Raises `InvalidExperiment` where the folder holds copies of other content, or the system refuses.
    """
    index = folder / INPUTS / INDEX
    earlier = _read_index(index)
    kept: dict[str, Any] = {}
    for item in inputs_of(config):
        digest = _digest(item.field, item.path)
        was = earlier.get(item.field)
        if was is not None and was["sha256"] != digest:
            raise InvalidExperiment(
                f"{folder}: {item.field}: {item.value} has changed since this folder was begun;"
                " choose another with --out"
            )
        copy = _copy_of(item)
        source = item.value if item.is_shipped else os.path.relpath(item.path, folder)
        kept[item.field] = was or {"source": source, "copy": str(copy), "sha256": digest}
        if was is None:
            _copy(item, folder / copy)
    if kept and kept != earlier:
        text = json.dumps({"nerfbot": __version__, "files": {**earlier, **kept}}, indent=1) + "\n"
        write_atomically(index, text, InvalidExperiment)
    return {field: entry["sha256"] for field, entry in kept.items()}


def with_inputs(config: ExperimentConfig, folder: Path) -> ExperimentConfig:
    """The configuration with the folder's copies in place of the originals; as it is where there are none."""
    files = _read_index(folder / INPUTS / INDEX)
    return _replaced(config, {field: str(folder / entry["copy"]) for field, entry in files.items()})


def described(config: ExperimentConfig) -> dict[str, Any]:
    """The configuration as a folder's `config.yaml` has it: with its copies for files of the user's own."""
    own = [item for item in inputs_of(config) if not item.is_shipped]
    return _replaced(config, {item.field: str(_copy_of(item)) for item in own}).model_dump(mode="json")


def _replaced(config: ExperimentConfig, files: Mapping[str, str]) -> ExperimentConfig:
    changes: dict[str, Any] = {name: files[name] for name in ("course", "nerf") if name in files}
    changes["tests"] = {name: files.get(f"tests.{name}", value) for name, value in config.tests.items()}
    if isinstance(config, RobotTrainingConfig) and "robot" in files:
        changes["options"] = {**config.options, "robot": files["robot"]}
    return config.model_copy(update=changes)


def _copy_of(item: Input) -> Path:
    return Path(INPUTS) / item.field / item.path.name


def changes(folder: Path, hashes: Mapping[str, str]) -> list[str]:
    """What is no longer as it was when the run was made, a line each.

    `hashes` are those in the policy's description: SHA-256 by field.
    """
    found = []
    for field, entry in _read_index(folder / INPUTS / INDEX).items():
        copy, source = folder / entry["copy"], str(entry["source"])
        if not copy.is_file():
            found.append(f"{field}: the copy {entry['copy']} is missing")
        elif _digest(field, copy) != hashes.get(field, entry["sha256"]):
            found.append(f"{field}: the copy {entry['copy']} is not the file that was trained with")
        else:
            original = _input(field, source, folder).path
            if original.is_file() and _digest(field, original) != entry["sha256"]:
                found.append(f"{field}: {source} has changed since")
    return found


def _digest(field: str, path: Path) -> str:
    """SHA-256 of a file and, for a robot's, of the URDF and the meshes that it names."""
    digest = hashlib.sha256()
    for name in _files(field, path):
        data = read_file(path.parent / name, lambda text: InvalidExperiment(f"{field}: {text}"), MAX_INPUT)
        digest.update(data)
    return digest.hexdigest()


def _copy(item: Input, copy: Path) -> None:
    """Copy a file and what it names, which stays at the same place beside it."""
    try:
        for name in _files(item.field, item.path):
            (copy.parent / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(item.path.parent / name, copy.parent / name)
    except OSError as problem:
        raise InvalidExperiment(f"{copy}: cannot be written: {one_line(problem)}") from None


def _files(field: str, path: Path) -> list[str]:
    """The file and, for a robot's, its URDF and meshes, as paths from the file's folder that lie in it."""
    if field != "robot":
        return [path.name]
    from nerfbot.sim.robots.urdf import read_urdf

    try:
        urdf = str(read_yaml(path)["urdf"])
        meshes = [mesh.get("filename", "") for mesh in read_urdf(path.parent / urdf).iter("mesh")]
    except (InvalidSpec, OSError, ElementTree.ParseError, KeyError, TypeError):
        return [path.name]  # one of PyBullet's own, or none that can be used
    named = {os.path.normpath(Path(urdf).parent / mesh) for mesh in meshes}
    names = [path.name, os.path.normpath(urdf), *sorted(named)]
    inside = [name for name in names if not name.startswith(("..", "/"))]
    return [name for name in inside if (path.parent / name).is_file() or name == path.name]


def _read_index(path: Path) -> dict[str, dict[str, str]]:
    """The index's entries by field; a run of before there was one has none."""
    if not path.exists():
        return {}
    try:
        files = json.loads(read_text(path, InvalidExperiment))["files"]
        return {
            str(field): {name: str(entry[name]) for name in ("source", "copy", "sha256")}
            for field, entry in files.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise InvalidExperiment(f"{path}: cannot be read: {one_line(problem)}") from None
