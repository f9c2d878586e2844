"""Saved policies: weights as safetensors, the rest as JSON, no pickles: a robot never unpickles a policy."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import torch as weights_file
from torch import Tensor

from nerfbot.agents.heads import head_for
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.networks import ActorCritic
from nerfbot.agents.normalization import RunningNorm, norm_key, normalize
from nerfbot.agents.tensor_env import Observation
from nerfbot.errors import InvalidCommand, one_line
from nerfbot.files import read_file, read_text

FORMAT = 1
WEIGHTS, DESCRIPTION = "policy.safetensors", "policy.json"

MAX_WEIGHTS = 2**32
"""Bytes of the largest file of weights that is read."""

MAX_VALUES = 10**7
"""Values of the largest box of an observation or action."""


class Policy:
    """A policy that acts: one observation at a time, or a batch.

    Args:
        network: actor and critics.
        parts: boxes of the observation, by name ("" where it has no parts).
        norms: running norms by part, as they stood when training ended.
        action_space: of one world.
        about: what it was trained on, for people.
        seed: of the sampling.
        returns: running norm of the discounted returns that rewards were scaled by; None: they were not. The
            critics' values are in that scale; acting needs none of it, learning on does.

    """

    def __init__(
        self,
        network: ActorCritic,
        parts: Mapping[str, spaces.Box],
        norms: torch.nn.ModuleDict,
        action_space: spaces.Space[Any],
        about: Mapping[str, Any] | None = None,
        seed: int = 0,
        returns: RunningNorm | None = None,
    ) -> None:
        self.network, self.parts, self.norms = network.eval(), dict(parts), norms
        self.returns = returns
        self.action_space, self.about = action_space, dict(about or {})
        self.device = next(network.parameters()).device
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self.hidden_state: Tensor | None = None

    def reset(self, done: NDArray[np.bool_] | None = None) -> None:
        """Begin a new episode everywhere, or in the worlds whose episode is `done`, bool (N,)."""
        if done is None or self.hidden_state is None:
            self.hidden_state = None
        else:
            continues = torch.as_tensor(~np.asarray(done, np.bool_), device=self.device)
            self.hidden_state = self.hidden_state * continues.unsqueeze(1)

    @torch.inference_mode()
    def act(self, observation: Any, mask: NDArray[np.bool_] | None = None, sample: bool = False) -> Any:
        """The action for an observation, or actions for a batch of them.

        `observation` as the environment gives it, each part with or without a leading batch dimension; `mask`
        bool (actions,) or (N, actions). The likeliest action, or with `sample` a drawn one. Raises
        `InvalidCommand` for a part that is missing, of the wrong shape or not finite, and for such a mask.
        """
        head = self.network.head
        parts, count, single = self._read(observation)
        if self.hidden_state is None or len(self.hidden_state) != count:
            self.hidden_state = self.network.initial_state(count, self.device)
        output = self.network(parts, self.hidden_state)
        self.hidden_state = output.hidden_state
        open_now = None if mask is None or not head.choices else self._open(mask, count)
        if sample:
            action = head.sample(output.policy, open_now, self.generator)
        else:
            action = head.mode(output.policy, open_now)
        return _first(head.to_environment(action)) if single else head.to_environment(action)

    def _read(self, observation: Any) -> tuple[Observation, int, bool]:
        """Parts as the network reads them, how many observations there are, and whether it is one alone."""
        values = {"": observation} if "" in self.parts else observation
        tensors: Observation = {}
        counts: dict[str, int | None] = {}
        for name, box in self.parts.items():
            label = f"observation {name!r}" if name else "observation"
            if not isinstance(values, Mapping) or name not in values:
                raise InvalidCommand(f"observation: the part {name!r} is missing")
            value = np.asarray(values[name])
            if value.shape == box.shape:
                counts[name], value = None, value[None]
            elif value.shape[1:] == box.shape and value.ndim == len(box.shape) + 1:
                counts[name] = len(value)
            else:
                raise InvalidCommand(
                    f"{label}: the shape is {value.shape}, must be {box.shape} or (N, ...) of them"
                )
            if value.dtype.kind not in "biuf":
                raise InvalidCommand(f"{label}: must be numbers, got {value.dtype}")
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise InvalidCommand(f"{label}: must be finite, got {value[~np.isfinite(value)][0]}")
            dtype = np.float32 if box.dtype == np.float64 else box.dtype
            tensors[name] = torch.tensor(np.ascontiguousarray(value, dtype), device=self.device)
        if len(set(counts.values())) > 1:
            raise InvalidCommand(f"observation: the parts hold different numbers of observations: {counts}")
        count = next(iter(counts.values()))
        return normalize(self.norms, tensors), 1 if count is None else count, count is None

    def _open(self, mask: NDArray[np.bool_], count: int) -> Tensor:
        """The mask over the policy's alternatives: powers that it never had come after them."""
        rows = np.atleast_2d(np.asarray(mask))
        choices = self.network.head.choices
        if rows.ndim != 2 or len(rows) != count or rows.shape[1] < choices:
            raise InvalidCommand(
                f"mask: the shape is {np.shape(mask)}, must be {(count, choices)}, or wider by powers"
            )
        return torch.as_tensor(rows[:, :choices].astype(np.bool_), device=self.device)

    def save(self, folder: Path) -> None:
        """Write both files into `folder`, each whole or not at all. Raises `InvalidCommand` if it cannot."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"norms.{name}": value for name, value in self.norms.state_dict().items()}
        if self.returns is not None:
            tensors |= {f"returns.{name}": value for name, value in self.returns.state_dict().items()}
        weights = weights_file.save({name: value.contiguous().cpu() for name, value in tensors.items()})
        described = {
            "format": FORMAT,
            "sha256": hashlib.sha256(weights).hexdigest(),
            "network": self.network.config.model_dump(mode="json"),
            "values": list(self.network.critics),
            "observation": {name: describe(box) for name, box in self.parts.items()},
            "action": describe(self.action_space),
            "squash": any(getattr(head, "squash", False) for head in self.network.head.modules()),
            "normalised": sorted(name for name in self.parts if norm_key(name) in self.norms),
            "scaled": self.returns is not None,
            "about": self.about,
        }
        try:
            text = json.dumps(described, indent=1) + "\n"
        except TypeError as problem:
            raise InvalidCommand(f"policy: about: {problem}") from None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in ((WEIGHTS, weights), (DESCRIPTION, text.encode())):
                _write(folder / name, content)
        except OSError as problem:
            raise InvalidCommand(f"policy: {folder} cannot be written: {problem}") from None


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def load_policy(path: str | Path, device: str = "cpu", seed: int = 0) -> Policy:
    """A saved policy, from its folder or either of its files.

    Raises `InvalidCommand` in one line for a file that is missing, of another format, or corrupted.
    """
    place = Path(path)
    folder = place.parent if place.name in (WEIGHTS, DESCRIPTION) else place
    described = _read(folder / DESCRIPTION)
    weights = read_file(_existing(folder / WEIGHTS), _error, MAX_WEIGHTS)
    try:
        if hashlib.sha256(weights).hexdigest() != described["sha256"]:
            raise ValueError(
                f"{WEIGHTS} is not the file that {DESCRIPTION} describes: it was changed or damaged"
            )
        parts = {name: cast("spaces.Box", space_of(box)) for name, box in described["observation"].items()}
        action_space = space_of(described["action"])
        head = head_for(action_space, described["squash"])
        config, values = NetworkConfig.model_validate(described["network"]), described["values"]
        tensors = weights_file.load(weights)
        with torch.device("meta"):  # costs no memory: a description may ask for more than there is
            _check_shapes(ActorCritic(parts, head, config, values), tensors)
        network = ActorCritic(parts, head, config, values)
        norms = torch.nn.ModuleDict(
            {norm_key(name): RunningNorm(parts[name].shape) for name in described["normalised"]}
        )
        returns = RunningNorm(()) if described.get("scaled", False) else None
        for name, value in tensors.items():
            if not value.isfinite().all():
                raise ValueError(f"{WEIGHTS}: {name} holds a number that is not finite")
        modules = {"network.": network, "norms.": norms} | ({} if returns is None else {"returns.": returns})
        for prefix, module in modules.items():
            module.load_state_dict(
                {
                    name.removeprefix(prefix): value
                    for name, value in tensors.items()
                    if name.startswith(prefix)
                }
            )
        network, norms = network.to(device), norms.to(device)
        about = dict(described["about"])
    except UNUSABLE as problem:
        line = one_line(problem)
        if isinstance(problem, KeyError):
            line = f"{line} is missing"
        raise InvalidCommand(f"policy: {folder} cannot be used: {line}") from None
    return Policy(network, parts, norms, action_space, about, seed, returns)


def _check_shapes(network: ActorCritic, tensors: Mapping[str, Tensor]) -> None:
    """Compare the described network with the weights; raises `ValueError` for the first that differs."""
    for name, value in network.state_dict().items():
        held = tensors.get(f"network.{name}")
        if held is None or held.shape != value.shape:
            shape = "missing" if held is None else tuple(held.shape)
            raise ValueError(
                f"{DESCRIPTION} asks for {name} {tuple(value.shape)}, in {WEIGHTS} it is {shape}"
            )


UNUSABLE = (
    *(KeyError, TypeError, ValueError, AttributeError, AssertionError, RuntimeError, MemoryError),
    *(OverflowError, SafetensorError),
)
"""What a description that says anything at all may lead spaces, networks and torch to raise."""


def _read(path: Path) -> dict[str, Any]:
    text = read_text(_existing(path), _error)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise InvalidCommand(f"policy: {path} cannot be read: {problem}") from None
    file_format = content.get("format") if isinstance(content, dict) else None
    if not isinstance(content, dict) or file_format != FORMAT:
        raise InvalidCommand(f"policy: {path}: format = {file_format!r}: must be {FORMAT}")
    return content


def _existing(path: Path) -> Path:
    if not path.exists():
        raise InvalidCommand(f"policy: {path} does not exist")
    return path


def _error(text: str) -> InvalidCommand:
    return InvalidCommand(f"policy: {text}")


def describe(space: spaces.Space[Any]) -> dict[str, Any]:
    """A space as JSON has it. Raises `InvalidCommand` for a kind that cannot be saved."""
    if isinstance(space, spaces.Discrete):
        return {"kind": "discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"kind": "multi-discrete", "n": space.nvec.tolist(), "start": space.start.tolist()}
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


def space_of(described: Mapping[str, Any]) -> spaces.Space[Any]:
    """The space that `describe` was given."""
    kind = described["kind"]
    if kind == "discrete":
        return spaces.Discrete(described["n"], start=described["start"])
    if kind == "multi-discrete":
        return spaces.MultiDiscrete(described["n"], start=described["start"])
    if kind == "box":
        shape = tuple(described["shape"])
        if math.prod(shape) > MAX_VALUES:
            raise ValueError(f"shape {shape}: must hold at most {MAX_VALUES} values")
        low, high = (
            np.broadcast_to(
                np.asarray(described[end], float).reshape(shape if isinstance(described[end], list) else ()),
                shape,
            )
            for end in ("low", "high")
        )
        dtype = np.dtype(described["dtype"])
        return spaces.Box(low.astype(dtype), high.astype(dtype), dtype=dtype.type)
    if kind == "tuple":
        return spaces.Tuple([space_of(part) for part in described["parts"]])
    if kind == "dict":
        return spaces.Dict({name: space_of(part) for name, part in described["parts"].items()})
    raise ValueError(f"space kind {kind!r} is unknown")


def _first(actions: Any) -> Any:
    if isinstance(actions, tuple):
        return tuple(_first(part) for part in actions)
    if isinstance(actions, dict):
        return {name: _first(part) for name, part in actions.items()}
    return actions[0]
