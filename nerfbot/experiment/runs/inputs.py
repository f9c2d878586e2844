"""The files that a run was made with: copied into its folder, with hashes, and compared when it is loaded.

A run can so be measured from any folder, on another machine and after the originals have changed: it plays
its own copies. `changes` says what is no longer as it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nerfbot import __version__
from nerfbot.course.parser import CATALOGUE
from nerfbot.errors import one_line
from nerfbot.experiment.protocol.config import ExperimentConfig, InvalidExperiment, RobotTrainingConfig
from nerfbot.files import MAX_BYTES, is_yaml_path, read_file, read_text, write_atomically
from nerfbot.limits.spec import PRESETS as NERFS
from nerfbot.registration import ENVIRONMENTS

INPUTS = "inputs"
"""Folder in a run's folder that holds the copies, one folder a field."""

INDEX = "index.json"
"""File in it: the version of nerfbot, and for each field the original, the copy and its SHA-256."""

_MESH = re.compile(r'filename\s*=\s*"([^"]+)"')


class Input(NamedTuple):
    """A field of a configuration that names a file: its value there, and the file."""

    field: str
    value: str
    path: Path


def inputs_of(config: ExperimentConfig) -> Iterator[Input]:
    """The files that a configuration names, its own or shipped ones: course, tests, nerf and robot."""
    courses = {"course": config.course, **{f"tests.{name}": course for name, course in config.tests.items()}}
    for field, value in courses.items():
        yield Input(field, value, _file(value, CATALOGUE))
    if config.nerf != "none":
        yield Input("nerf", config.nerf, _file(config.nerf, NERFS))
    if isinstance(config, RobotTrainingConfig):
        from nerfbot.sim.robots.description import ROBOTS

        default = ENVIRONMENTS[config.environment].get("kwargs", {}).get("robot", "rover")
        robot = str(config.options.get("robot", default))
        yield Input("robot", robot, _file(robot, ROBOTS))


def _file(value: str, shipped: Path) -> Path:
    return Path(value) if is_yaml_path(value) else shipped / f"{value}.yaml"


def keep_inputs(config: ExperimentConfig, folder: Path) -> dict[str, str]:
    """Copy every input into the folder, unless it is there; the SHA-256 of each copy by its field.

    Raises `InvalidExperiment` where the folder holds copies of other content, or the system refuses.
    """
    index = folder / INPUTS / INDEX
    earlier = _read_index(index)
    kept: dict[str, Any] = {}
    for item in inputs_of(config):
        digest = _digest(item.path)
        was = earlier.get(item.field)
        if was is not None and was["sha256"] != digest:
            raise InvalidExperiment(
                f"{folder}: {item.field}: {item.value} has changed since this folder was begun;"
                " choose another with --out"
            )
        copy = _copy_of(item)
        source = item.value if not is_yaml_path(item.value) else os.path.relpath(item.path, folder)
        kept[item.field] = was or {"source": source, "copy": str(copy), "sha256": digest}
        if was is None:
            _copy(item.path, folder / copy)
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
    own = [item for item in inputs_of(config) if is_yaml_path(item.value)]
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
        elif _digest(copy) != hashes.get(field, entry["sha256"]):
            found.append(f"{field}: the copy {entry['copy']} is not the file that was trained with")
        else:
            original = _original(field, source, folder)
            if original.is_file() and _digest(original) != entry["sha256"]:
                found.append(f"{field}: {source} has changed since")
    return found


def _original(field: str, source: str, folder: Path) -> Path:
    if is_yaml_path(source):
        return folder / source
    from nerfbot.sim.robots.description import ROBOTS

    return {"nerf": NERFS, "robot": ROBOTS}.get(field, CATALOGUE) / f"{source}.yaml"


def _digest(path: Path) -> str:
    """SHA-256 of a file and, for a robot's, of the URDF and the meshes that it names."""
    digest = hashlib.sha256(read_file(path, InvalidExperiment))
    for other in _beside(path):
        digest.update(read_file(other, InvalidExperiment, 16 * MAX_BYTES))
    return digest.hexdigest()


def _copy(path: Path, copy: Path) -> None:
    """Copy a file and what it names, which stays at the same place beside it."""
    try:
        for file in (path, *_beside(path)):
            target = copy if file == path else copy.parent / file.relative_to(path.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    except OSError as problem:
        raise InvalidExperiment(f"{copy}: cannot be written: {one_line(problem)}") from None


def _beside(path: Path) -> list[Path]:
    """The URDF that a robot's file names, and its meshes, as far as they lie in the file's folder."""
    named = re.search(r"^urdf:\s*(\S+)", read_text(path, InvalidExperiment), re.MULTILINE)
    urdf = path.parent / named[1].strip("'\"") if named else None
    if urdf is None or not urdf.is_file() or ".." in urdf.parts:
        return []
    meshes = {urdf.parent / name for name in _MESH.findall(read_text(urdf, InvalidExperiment))}
    inside = [mesh for mesh in sorted(meshes) if mesh.is_file() and mesh.is_relative_to(path.parent)]
    return [urdf, *(mesh for mesh in inside if ".." not in mesh.relative_to(path.parent).parts)]


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
