"""Checkpoints: the whole of a run as plain values, written to a file and read back.

A file holds tensors, numbers, text, lists and dicts, and is read as such: reading one runs no code of its
author. Going on from it is exact, bit for bit, where the environment can tell its state and take it back.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nerfbot.agents.policy import describe
from nerfbot.errors import InvalidCommand

if TYPE_CHECKING:
    from nerfbot.agents.learner import Learner
    from nerfbot.agents.policy import Policy

FORMAT = "nerfbot-checkpoint-1"

ARRAY = "\0numpy"
"""Key of the one-entry dict that stands for a NumPy array in a file."""


def state_of(learner: Learner) -> dict[str, Any]:
    """All that going on needs, the worlds included where the environment can tell them."""
    keep = getattr(learner.env.env, "state", None)
    scale, explorer, book, bonus = _parts(learner).values()
    return {
        "made": made(learner),
        "steps": learner.steps,
        "network": copy.deepcopy(learner.network.state_dict()),
        "norms": copy.deepcopy(learner.norms.state_dict()),
        "optimiser": copy.deepcopy(learner.ppo.optimiser.state_dict()),
        "generator": learner.generator.get_state(),
        "memory": None if learner.memory is None else learner.memory.clone(),
        "first": learner.first.clone(),
        "return_scale": None if scale is None else scale.state(),
        "explorer": None if explorer is None else explorer.state(),
        "book": None if book is None else book.state(),
        "bonus": None if bonus is None else bonus.state(),
        "curriculum": None if learner.curriculum is None else learner.curriculum.state(),
        "worlds": keep() if callable(keep) else None,
    }


def give_back(learner: Learner, state: Mapping[str, Any]) -> None:
    """Go on from `state`: bit for bit where the worlds can be put back, else in new episodes.

    Raises `InvalidCommand` where it is the state of a run that was made otherwise, before anything changes.
    """
    _compare(state["made"], made(learner))
    device = learner.env.device
    learner.steps = state["steps"]
    learner.network.load_state_dict(state["network"])
    learner.norms.load_state_dict(state["norms"])
    learner.ppo.optimiser.load_state_dict(copy.deepcopy(state["optimiser"]))
    memory = state["memory"]
    learner.memory = None if memory is None else memory.to(device, copy=True)
    learner.first = state["first"].to(device, copy=True)
    for name, part in _parts(learner).items():
        if part is not None:
            part.restore(state[name])
    if learner.curriculum is not None:
        learner.curriculum.restore(state["curriculum"])
    if state["worlds"] is not None:
        learner.env.restore(state["worlds"])
    else:
        learner.env.reset(learner.seed + learner.steps)
        learner.begin_anew()
    learner.generator.set_state(state["generator"].cpu())


def _parts(learner: Learner) -> dict[str, Any]:
    """The parts that hold a state of their own, by their names in a checkpoint; None where there is none."""
    return {
        "return_scale": learner.return_scale,
        "explorer": learner.explorer,
        "book": learner.book,
        "bonus": learner.bonus_signal,
    }


def take_up(learner: Learner, policy: Policy) -> None:
    """Give a learner a policy's weights, norms and scale of returns.

    Raises `InvalidCommand` where the two differ in what these belong to, before anything changes.
    """
    mine = learner.policy()
    _compare(_shape(policy), _shape(mine))
    learner.network.load_state_dict(policy.network.state_dict())
    learner.norms.load_state_dict(policy.norms.state_dict())
    if mine.returns is not None and policy.returns is not None:
        mine.returns.load_state_dict(policy.returns.state_dict())


def _shape(policy: Policy) -> dict[str, Any]:
    """What two policies must have in common for one to take up the other's weights."""
    return {
        "observation": {name: [str(box.dtype), *box.shape] for name, box in policy.parts.items()},
        "action": describe(policy.action_space),
        "critics": list(policy.network.names),
        "network": policy.network.config.model_dump(mode="json"),
        "normalised": sorted(policy.norms),
        "reward scale": policy.returns is not None,
    }


def made(learner: Learner) -> dict[str, Any]:
    """What a run must have in common with the one whose checkpoint it takes up."""
    explorer, book, bonus = learner.explorer, learner.book, learner.bonus_signal
    parts = {name: [str(box.dtype), *box.shape] for name, box in learner.env.parts.items()}
    return {
        "seed": learner.seed,
        "worlds": learner.env.count,
        "observation": parts,
        "action outputs": learner.network.head.outputs,
        "critics": list(learner.network.names),
        "network": learner.network.config.model_dump(mode="json"),
        "normalised": sorted(learner.norms),
        "reward scale": learner.return_scale is not None,
        "explorer": None if explorer is None else explorer.name,
        "signal": None if book is None else type(book.signal).__name__,
        "bonus": None if bonus is None else type(bonus).__name__,
        "curriculum": None if learner.curriculum is None else type(learner.curriculum).__name__,
    }


def _compare(told: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    theirs, ours = dict(_flat(told)), dict(_flat(mine))
    for name in [*ours, *theirs]:
        if theirs.get(name) != ours.get(name):
            raise InvalidCommand(f"its run has {name} = {theirs.get(name)}, this one {ours.get(name)}")


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Write a file, whole or not at all. Raises `InvalidCommand` where it cannot be written."""
    part = path.with_name(path.name + ".part")
    packed = {"format": FORMAT, **packed_for_file(state)}
    try:
        with part.open("wb") as file:
            torch.save(packed, file)
        part.replace(path)
    except (OSError, RuntimeError) as problem:
        part.unlink(missing_ok=True)
        raise InvalidCommand(f"checkpoint: {path} cannot be written: {one_line(problem)}") from None


def read(path: Path) -> dict[str, Any]:
    """What `write` was given. Raises `InvalidCommand` for a file that is missing, corrupted or another."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InvalidCommand(f"checkpoint: {path} does not exist") from None
    except Exception as problem:  # a corrupted archive raises whatever the bytes happen to lead to
        raise InvalidCommand(f"checkpoint: {path} cannot be read: {one_line(problem)}") from None
    told = found.get("format") if isinstance(found, dict) else None
    if told != FORMAT:
        raise InvalidCommand(f"checkpoint: {path}: format = {told!r}: must be {FORMAT!r}")
    state: dict[str, Any] = unpacked({name: value for name, value in found.items() if name != "format"})
    return state


def packed_for_file(value: Any, place: str = "") -> Any:
    """`value` with its NumPy arrays as tensors. Raises `InvalidCommand` for what a file may not hold."""
    if value is None or isinstance(value, bool | int | float | str | Tensor):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype != object:
        return {ARRAY: torch.from_numpy(value.copy())}
    if isinstance(value, Mapping):
        return {name: packed_for_file(part, f"{place}.{name}") for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(packed_for_file(part, f"{place}[{i}]") for i, part in enumerate(value))
    raise InvalidCommand(
        f"checkpoint: {place.lstrip('.')}: {type(value).__name__} cannot be saved"
        " (numbers, text, arrays, tensors, lists and dicts can)"
    )


def unpacked(value: Any) -> Any:
    """The arrays of `packed_for_file` as arrays again."""
    if isinstance(value, dict):
        if set(value) == {ARRAY}:
            return value[ARRAY].numpy()
        return {name: unpacked(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(unpacked(part) for part in value)
    return value


def one_line(problem: Exception, most: int = 200) -> str:
    """An exception's text in one line, or its kind where it has none."""
    return " ".join(str(problem).split())[:most] or type(problem).__name__
