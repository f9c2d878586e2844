"""Saved policies: weights as safetensors, the rest as JSON, no pickles: a robot never unpickles a policy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from nerfbot.agents.heads import head_for
from nerfbot.agents.networks import ActorCritic, NetworkConfig
from nerfbot.agents.normal import RunningNorm
from nerfbot.errors import InvalidCommand

FORMAT = 1
WEIGHTS, DESCRIPTION = "policy.safetensors", "policy.json"


class Policy:
    """A policy that acts: one observation at a time, or a batch.

    Args:
        network: actor and critics.
        parts: boxes of the observation, by name ("" where it has no parts).
        norms: running norms by part, as they stood when training ended.
        action_space: of one world.
        about: what it was trained on, for people.
        seed: of the sampling.

    """

    def __init__(
        self,
        network: ActorCritic,
        parts: Mapping[str, spaces.Box],
        norms: torch.nn.ModuleDict,
        action_space: spaces.Space[Any],
        about: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.network, self.parts, self.norms = network.eval(), dict(parts), norms
        self.action_space, self.about = action_space, dict(about or {})
        self.device = next(network.parameters()).device
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.memory: Tensor | None = None

    def reset(self) -> None:
        """Forget: a new episode begins."""
        self.memory = None

    @torch.inference_mode()
    def act(self, observation: Any, mask: NDArray[np.bool_] | None = None, sample: bool = False) -> Any:
        """The action for an observation, or actions for a batch of them.

        `observation` as the environment gives it, each part with or without a leading batch dimension; `mask`
        bool (actions,) or (N, actions). The likeliest action, or with `sample` a drawn one. Raises
        `InvalidCommand` for a part that is missing or of the wrong shape.
        """
        given = {"": observation} if "" in self.parts else observation
        seen, single = {}, False
        for name, box in self.parts.items():
            if name not in given:
                raise InvalidCommand(f"observation: the part {name!r} is missing")
            value = np.asarray(given[name])
            if value.shape == box.shape:
                value, single = value[None], True
            elif value.shape[1:] != box.shape:
                label = f"observation {name!r}" if name else "observation"
                raise InvalidCommand(f"{label}: the shape is {value.shape}, must be {box.shape}")
            tensor = torch.as_tensor(np.ascontiguousarray(value), device=self.device)
            tensor = tensor.float() if tensor.dtype == torch.float64 else tensor
            key = norm_key(name)
            seen[name] = self.norms[key](tensor) if key in self.norms else tensor
        count = len(next(iter(seen.values())))
        if self.memory is None or len(self.memory) != count:
            self.memory = self.network.start(count, self.device)
        output = self.network(seen, self.memory)
        self.memory = output.memory
        open_now = None if mask is None else torch.as_tensor(np.atleast_2d(mask), device=self.device)
        if open_now is not None:
            # Powers that the policy never had are beyond its outputs.
            open_now = open_now[:, : self.network.head.outputs]
        head = self.network.head
        action = (
            head.sample(output.policy, open_now, self.generator)
            if sample
            else head.mode(output.policy, open_now)
        )
        return _first(head.to_environment(action)) if single else head.to_environment(action)

    def save(self, folder: Path) -> None:
        """Write both files into `folder`, each whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"norms.{name}": value for name, value in self.norms.state_dict().items()}
        part = folder / f"{WEIGHTS}.part"
        save_file({name: value.contiguous().cpu() for name, value in tensors.items()}, part)
        described = {
            "format": FORMAT,
            "network": self.network.config.model_dump(mode="json"),
            "values": list(self.network.names),
            "observation": {name: describe(box) for name, box in self.parts.items()},
            "action": describe(self.action_space),
            "squash": bool(getattr(self.network.head, "squash", False)),
            "normalised": sorted(name for name in self.parts if norm_key(name) in self.norms),
            "about": self.about,
        }
        text = folder / f"{DESCRIPTION}.part"
        text.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
        part.replace(folder / WEIGHTS)
        text.replace(folder / DESCRIPTION)


def load_policy(path: str | Path, device: str = "cpu", seed: int = 0) -> Policy:
    """A saved policy, from its folder or either of its files.

    Raises `InvalidCommand` in one line for a file that is missing, of another format, or corrupted.
    """
    place = Path(path)
    folder = place if place.is_dir() else place.parent
    described = _read(folder / DESCRIPTION)
    weights = folder / WEIGHTS
    try:
        parts = {name: cast("spaces.Box", restored(box)) for name, box in described["observation"].items()}
        action_space = restored(described["action"])
        head = head_for(action_space, described["squash"])
        network = ActorCritic(
            parts, head, NetworkConfig.model_validate(described["network"]), described["values"]
        )
        norms = torch.nn.ModuleDict(
            {norm_key(name): RunningNorm(parts[name].shape) for name in described["normalised"]}
        )
        tensors = load_file(weights)
        for prefix, module in (("network.", network), ("norms.", norms)):
            module.load_state_dict(
                {
                    name.removeprefix(prefix): value
                    for name, value in tensors.items()
                    if name.startswith(prefix)
                }
            )
    except FileNotFoundError:
        raise InvalidCommand(f"policy: {weights} does not exist") from None
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError, ValidationError) as problem:
        line = " ".join(str(problem).split())[:200]
        raise InvalidCommand(f"policy: {folder} cannot be used: {line}") from None
    return Policy(network.to(device), parts, norms.to(device), action_space, described["about"], seed)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidCommand(f"policy: {path} does not exist") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as problem:
        raise InvalidCommand(f"policy: {path} cannot be read: {problem}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        said = found.get("format") if isinstance(found, dict) else None
        raise InvalidCommand(f"policy: {path}: format = {said!r}: must be {FORMAT}")
    return found


def describe(space: spaces.Space[Any]) -> dict[str, Any]:
    """A space as JSON has it. Raises `InvalidCommand` for a kind that cannot be saved."""
    if isinstance(space, spaces.Discrete):
        return {"kind": "discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"kind": "multi-discrete", "n": space.nvec.reshape(-1).tolist()}
    if isinstance(space, spaces.Box):
        return {
            "kind": "box",
            "shape": list(space.shape),
            "dtype": str(space.dtype),
            "low": _bounds(space.low),
            "high": _bounds(space.high),
        }
    if isinstance(space, spaces.Tuple):
        return {"kind": "tuple", "parts": [describe(part) for part in space.spaces]}
    if isinstance(space, spaces.Dict):
        return {"kind": "dict", "parts": {name: describe(part) for name, part in space.spaces.items()}}
    raise InvalidCommand(f"policy: a {type(space).__name__} space cannot be saved")


def _bounds(values: NDArray[Any]) -> Any:
    """One number where all are the same, as they mostly are; infinities by name."""
    flat = values.reshape(-1)
    if flat.size and (flat == flat[0]).all():
        return _number(flat[0])
    return [_number(value) for value in flat]


def _number(value: Any) -> float | str:
    return float(value) if np.isfinite(value) else str(float(value))


def restored(told: Mapping[str, Any]) -> spaces.Space[Any]:
    """The space that `describe` told of."""
    kind = told["kind"]
    if kind == "discrete":
        return spaces.Discrete(told["n"], start=told["start"])
    if kind == "multi-discrete":
        return spaces.MultiDiscrete(told["n"])
    if kind == "box":
        shape = tuple(told["shape"])
        low, high = (
            np.broadcast_to(
                np.asarray(told[end], float).reshape(shape if isinstance(told[end], list) else ()), shape
            )
            for end in ("low", "high")
        )
        dtype = np.dtype(told["dtype"])
        return spaces.Box(low.astype(dtype), high.astype(dtype), dtype=dtype.type)
    if kind == "tuple":
        return spaces.Tuple([restored(part) for part in told["parts"]])
    if kind == "dict":
        return spaces.Dict({name: restored(part) for name, part in told["parts"].items()})
    raise ValueError(f"space kind {kind!r} is unknown")


def norm_key(name: str) -> str:
    """The module's name under which a part's norm is kept."""
    return name.replace(".", "_") or "observation"


def _first(actions: Any) -> Any:
    if isinstance(actions, tuple):
        return tuple(_first(part) for part in actions)
    if isinstance(actions, dict):
        return {name: _first(part) for name, part in actions.items()}
    return actions[0]
