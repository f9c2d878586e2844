"""The state of objects as plain values: tensors, arrays, numbers, text, lists and dicts of them.

Checkpoints hold nothing else, so that reading one runs no code of its author.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from nerfbot.errors import InvalidCommand


class Stateful:
    """Base of everything with a state of its own that a checkpoint holds.

    `state_names`: the attributes that make up the state, beside those of the base classes. They are tensors,
    modules, optimisers, generators, arrays or plain numbers. `stored_names`: what files call those that have
    another name there.
    """

    state_names: ClassVar[tuple[str, ...]] = ()
    stored_names: ClassVar[Mapping[str, str]] = {}

    def _attributes(self) -> dict[str, str]:
        """The attribute behind each name of the state."""
        names = [name for cls in reversed(type(self).__mro__) for name in vars(cls).get("state_names", ())]
        return {self.stored_names.get(name, name): name for name in names}

    def state_dict(self) -> dict[str, Any]:
        """A copy of the state, for a checkpoint."""
        return {name: _copied(getattr(self, attribute)) for name, attribute in self._attributes().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave, which stays as it is.

        Modules and optimisers load their numbers in place: a new optimiser would train weights that nobody
        uses. Raises `InvalidCommand` for other names or shapes.
        """
        attributes = self._attributes()
        if set(attributes) != set(state):
            raise InvalidCommand(
                f"{type(self).__name__}: the state holds {sorted(state)}, must hold {sorted(attributes)}"
            )
        for name, attribute in attributes.items():
            value, mine = state[name], getattr(self, attribute)
            if isinstance(mine, Tensor):
                if mine.shape != value.shape:
                    raise InvalidCommand(
                        f"{type(self).__name__}: {name} has the shape {tuple(value.shape)},"
                        f" must be {tuple(mine.shape)}"
                    )
                setattr(self, attribute, value.to(mine.device, copy=True))
            elif isinstance(mine, torch.Generator):
                mine.set_state(value.cpu())
            elif isinstance(mine, np.random.Generator):
                mine.bit_generator.state = value
            elif isinstance(mine, nn.Module | torch.optim.Optimizer):
                mine.load_state_dict(copy.deepcopy(value))
            else:
                setattr(self, attribute, copy.deepcopy(value))


def _copied(value: Any) -> Any:
    if isinstance(value, nn.Module | torch.optim.Optimizer):
        return copy.deepcopy(value.state_dict())
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, np.random.Generator):
        return dict(value.bit_generator.state)
    return value.clone() if isinstance(value, Tensor) else copy.deepcopy(value)


def stored_as(module: nn.Module, **names: str) -> None:
    """Give attributes of a module other names in its state dict: those that saved files have always had."""

    def renamed(state: dict[str, Any], prefix: str, changes: Mapping[str, str]) -> None:
        items = list(state.items())
        state.clear()
        for name, value in items:
            first, dot, rest = name.removeprefix(prefix).partition(".")
            inside = name.startswith(prefix) and first in changes
            state[f"{prefix}{changes[first]}{dot}{rest}" if inside else name] = value

    attributes = {stored: attribute for attribute, stored in names.items()}
    module.register_state_dict_post_hook(lambda _, state, prefix, *more: renamed(state, prefix, names))
    module.register_load_state_dict_pre_hook(
        lambda _, state, prefix, *more: renamed(state, prefix, attributes)
    )


def check_same(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Raise `InvalidCommand` with the first field, of nested settings, in which two runs differ."""
    before, now = dict(_flat(theirs)), dict(_flat(ours))
    for name in [*now, *before]:
        if before.get(name) != now.get(name):
            raise InvalidCommand(f"its run has {name} = {before.get(name)}, this one {now.get(name)}")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
