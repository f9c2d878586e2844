"""What an object has learned, as plain values: tensors, numbers, text, lists and dicts of them.

Checkpoints hold nothing else, so that reading one runs no code of the file's author.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nerfbot.errors import InvalidCommand


def keep(owner: object, without: Collection[str] = ()) -> dict[str, Any]:
    """Copies of the tensors of `owner`, and the states of its modules, optimisers and generators, by name."""
    kept: dict[str, Any] = {}
    for name, value in vars(owner).items():
        if name in without:
            continue
        if isinstance(value, Tensor):
            kept[name] = value.clone()
        elif isinstance(value, nn.Module | torch.optim.Optimizer):
            kept[name] = copy.deepcopy(value.state_dict())
        elif isinstance(value, torch.Generator):
            kept[name] = value.get_state()
    return kept


def give_back(owner: object, state: Mapping[str, Any], without: Collection[str] = ()) -> None:
    """Put what `keep` told of back into `owner`. Raises `InvalidCommand` where the names differ.

    Modules and optimisers take their numbers in and stay the objects they are: an optimiser that was replaced
    would go on with weights that belong to nobody.
    """
    expected = set(keep(owner, without))
    if expected != set(state):
        raise InvalidCommand(
            f"{type(owner).__name__}: the state holds {sorted(state)}, must hold {sorted(expected)}"
        )
    for name, value in state.items():
        mine = vars(owner)[name]
        if isinstance(mine, Tensor):
            if mine.shape != value.shape:
                raise InvalidCommand(
                    f"{type(owner).__name__}: {name} has the shape {tuple(value.shape)},"
                    f" must be {tuple(mine.shape)}"
                )
            vars(owner)[name] = value.to(mine.device, copy=True)
        elif isinstance(mine, torch.Generator):
            mine.set_state(value.cpu())
        else:
            mine.load_state_dict(copy.deepcopy(value))
