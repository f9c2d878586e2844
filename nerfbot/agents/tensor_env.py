"""Any Gymnasium vector environment as tensors: one step of many worlds, with what learning needs to know.

Buffers that an environment shows without a copy stay uncopied on the CPU. Episodes must be followed by the
next in the same step (`AutoresetMode.SAME_STEP`), so that every transition is a real one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from torch import Tensor

from nerfbot.errors import InvalidCommand

Observation = dict[str, Tensor]
"""Parts of an observation by name, each (N, ...); an environment without parts has one, named ""."""


def parts_of(space: spaces.Space[Any]) -> dict[str, spaces.Box]:
    """The boxes that an observation consists of. Raises `InvalidCommand` for any other space."""
    boxes = dict(space.spaces) if isinstance(space, spaces.Dict) else {"": space}
    for name, box in boxes.items():
        if not isinstance(box, spaces.Box):
            raise InvalidCommand(
                f"observation space{f' {name!r}' if name else ''}: {type(box).__name__} is not supported"
                " (Box, or Dict of Box; gymnasium.wrappers.FlattenObservation makes one)"
            )
    return cast("dict[str, spaces.Box]", boxes)


class TensorVectorEnv:
    """`count` worlds of a vector environment.

    After `reset` and `step`: `observation` (see `Observation`), `mask` bool (count, actions) or None,
    `powered` bool (count,): where extra actions are open now; after `step` also `reward` float32,
    `terminated` and `truncated` bool (count,). `info` is the environment's own.

    Args:
        env: a vector environment with `AutoresetMode.SAME_STEP`. Raises `InvalidCommand` for any other.
        device: where tensors live.
        moves: the first `moves` actions are always open; the others are powers. None: there are none.
        hidden: numbers of an observation's parts that are shown as 0, by part: nothing may rely on them.
        only: names of the parts that are shown at all; None: every one.

    Raises `InvalidCommand` for a part that the environment does not have.

    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        device: str | torch.device = "cpu",
        moves: int | None = None,
        hidden: Mapping[str, Sequence[int]] | None = None,
        only: Sequence[str] | None = None,
    ) -> None:
        mode = env.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise InvalidCommand(
                f"environment: autoreset_mode is {mode}, must be SAME_STEP"
                " (vector_kwargs={'autoreset_mode': gymnasium.vector.AutoresetMode.SAME_STEP})"
            )
        self.env, self.device, self.moves = env, torch.device(device), moves
        self.count = env.num_envs
        every = parts_of(env.single_observation_space)
        for name in (*(only or ()), *(hidden or {})):
            if name not in every:
                raise InvalidCommand(
                    f"observation: there is no part {name!r} (there are: {', '.join(every)})"
                )
        self.parts = {name: box for name, box in every.items() if only is None or name in only}
        self.action_space = env.single_action_space
        self.hidden = {
            name: list(columns) for name, columns in (hidden or {}).items() if columns and name in self.parts
        }
        self.mask: Tensor | None = None
        self.powered: Tensor | None = None
        self.info: dict[str, Any] = {}

    def reset(self, seed: int | None = None) -> Observation:
        """Begin episodes everywhere."""
        observation, self.info = self.env.reset(seed=seed)
        self._take(observation)
        return self.observation

    def step(self, action: Any) -> None:
        """One step of every world. `action` is what `Head.to_environment` gives."""
        observation, reward, terminated, truncated, self.info = self.env.step(action)
        self._take(observation)
        self.reward = self._tensor(np.asarray(reward, np.float32))
        self.terminated, self.truncated = self._tensor(terminated), self._tensor(truncated)

    def final_observation(self, rows: NDArray[np.intp]) -> Observation:
        """The observations that ended the episodes of these worlds, each (len(rows), ...)."""
        final = [self.info["final_obs"][row] for row in rows]
        if "" in self.parts:
            return self._tensors({"": np.stack(final)})
        return self._tensors(
            {name: np.stack([observation[name] for observation in final]) for name in self.parts}
        )

    @property
    def action_names(self) -> tuple[str, ...]:
        """The actions in words where the environment has an `action_table`, else their numbers."""
        count = int(getattr(self.action_space, "n", 0))
        return tuple(getattr(self.env, "action_table", map(str, range(count))))

    @property
    def contact(self) -> Tensor | None:
        """What was touched in the last step, int32 (count,), 0: nothing; None where nothing says so."""
        nerf = self.info.get("nerf")
        contact = nerf.get("contact") if isinstance(nerf, dict) else None
        return None if contact is None else self._tensor(contact)

    def restore(self, worlds: Any) -> None:
        """Put the worlds back into a state that the environment's `state` gave."""
        observation, self.info = self.env.restore(worlds)  # type: ignore[attr-defined]
        self._take(observation)

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor if self.device.type == "cpu" else tensor.to(self.device, non_blocking=True)

    def _tensors(self, arrays: Mapping[str, NDArray[Any]]) -> Observation:
        """Parts as tensors, hidden numbers as 0."""
        shown = {
            # Doubles (CartPole's bounds, for example) would only slow the network down.
            name: tensor.float() if (tensor := self._tensor(arrays[name])).dtype == torch.float64 else tensor
            for name in self.parts
        }
        for name, columns in self.hidden.items():
            shown[name] = shown[name].clone()
            shown[name][:, columns] = 0
        return shown

    def _take(self, observation: Any) -> None:
        self.observation = self._tensors({"": observation} if "" in self.parts else observation)
        mask = self.info.get("action_mask")
        if mask is not None:
            self.mask = self._tensor(mask).bool()
            if self.moves is not None:
                self.powered = self.mask[:, self.moves :].any(1)
