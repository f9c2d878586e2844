"""Networks: what an observation becomes before the policy's and the critics' heads read it.

A body maps an observation to features; `ActorCritic` puts the heads on it. Grid observations are looked up
in learned tables of kinds, colours and states; every other part is taken as numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor, nn

from nerfbot.agents.encoders import Conv, Dense, Egocentric, Plain, Planning, is_grid, linear
from nerfbot.agents.heads import CategoricalHead, Head
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.tensor_env import Observation
from nerfbot.errors import InvalidCommand


class Output(NamedTuple):
    """The policy's raw outputs (N, outputs), values by name (N,), the memory (N, units), and the features
    that the policy read, (N, size).
    """

    policy: Tensor
    values: dict[str, Tensor]
    memory: Tensor | None
    features: Tensor


class Body(nn.Module):
    """From an observation to `size` features, with a GRU behind where `memory` asks for one."""

    def __init__(self, parts: Mapping[str, spaces.Box], config: NetworkConfig) -> None:
        super().__init__()
        grids = [name for name, box in parts.items() if is_grid(box)]
        if config.kind != "mlp" and len(grids) != 1:
            raise InvalidCommand(
                f"network.kind: {config.kind!r} needs one grid observation, got {len(grids)}"
            )
        self.grid = grids[0] if config.kind != "mlp" else None
        rest = {name: box for name, box in parts.items() if name != self.grid}
        if grids and not config.vector:
            rest = {name: box for name, box in rest.items() if is_grid(box)}
        self.plain = Plain(rest) if rest else None
        hidden = list(config.hidden)
        size = 0
        self.map: nn.Module | None = None
        if self.grid is not None:
            shape = parts[self.grid].shape
            if config.kind in ("conv", "planning"):
                self.map = Conv(shape, config) if config.kind == "conv" else Planning(shape, config)
                size = self.map.size
            else:
                self.map = Egocentric(shape, hidden[0], config.activation)
                size = hidden.pop(0)
        size += self.plain.size if self.plain is not None else 0
        self.dense = Dense(size, hidden, config.activation)
        self.memory = nn.GRUCell(self.dense.size, config.memory) if config.memory else None
        self.size = config.memory or self.dense.size

    def features(self, observation: Observation) -> Tensor:
        """Without memory. Shape: (N, dense size)."""
        seen = []
        if self.map is not None:
            seen.append(self.map(observation[str(self.grid)]))
        if self.plain is not None:
            seen.append(self.plain(observation))
        joined = seen[0] if len(seen) == 1 else torch.cat([part.to(seen[0].dtype) for part in seen], 1)
        out: Tensor = self.dense(joined)
        return out

    def forward(self, observation: Observation, memory: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Features (N, size) and the memory after this observation (N, units)."""
        features = self.features(observation)
        if self.memory is None:
            return features, None
        carried: Tensor = self.memory(features.float(), memory)
        return carried, carried


class Predictor(nn.Module):
    """A body without memory and one layer of `outputs` numbers on it."""

    def __init__(
        self, parts: Mapping[str, spaces.Box], config: NetworkConfig, outputs: int, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.body = Body(parts, config)
        self.out = linear(self.body.size, outputs, gain)

    def forward(self, observation: Observation) -> Tensor:
        """(N, outputs)."""
        found: Tensor = self.out(self.body.features(observation))
        return found


class ActorCritic(nn.Module):
    """A policy and its critics.

    Args:
        parts: of the observation, by name.
        head: of the action space.
        config: of the network.
        values: names of the critics.

    """

    def __init__(
        self,
        parts: Mapping[str, spaces.Box],
        head: Head,
        config: NetworkConfig,
        values: Sequence[str] = ("task",),
    ) -> None:
        super().__init__()
        if config.separate and config.memory:
            raise InvalidCommand("network.separate: a network with memory has one body")
        self.config, self.head, self.names = config, head, tuple(values)
        self.body = Body(parts, config)
        self.critic = Body(parts, config) if config.separate else None
        self.policy = linear(self.body.size, head.outputs, 0.01)
        self.value = linear(self.body.size, len(self.names), 1.0)
        self.reward: nn.Linear | None = None
        if isinstance(self.body.map, Planning):
            if not config.hidden and not config.memory:
                self.body.map.prior(self.policy)
        elif config.predicts_reward:
            if not isinstance(head, CategoricalHead):
                raise InvalidCommand("network.predicts_reward: needs a discrete action space")
            self.reward = linear(self.body.size, head.outputs, 0.01)

    @property
    def recurrent(self) -> bool:
        """Whether it has a memory."""
        return self.config.memory > 0

    def start(self, count: int, device: torch.device) -> Tensor | None:
        """The memory at the start of an episode, (count, units)."""
        return torch.zeros(count, self.config.memory, device=device) if self.recurrent else None

    def forward(self, observation: Observation, memory: Tensor | None = None, judged: bool = True) -> Output:
        """One observation a world. Not `judged`: without values of critics that have their own body."""
        features, carried = self.body(observation, memory)
        values: dict[str, Tensor] = {}
        if self.critic is None:
            values = self._values(features)
        elif judged:
            values = self.judge(observation)
        return Output(self.policy(features), values, carried, features)

    def judge(self, observation: Observation) -> dict[str, Tensor]:
        """The values (N,) alone, by critics that have a body of their own."""
        assert self.critic is not None
        return self._values(self.critic.features(observation))

    def sequence(self, observation: Observation, memory: Tensor, first: Tensor) -> Output:
        """A stretch of steps of some worlds. Parts (T, N, ...), `memory` (N, units), `first` bool (T, N):
        where an episode begins. Outputs are flat, (T * N, ...).
        """
        steps, count = first.shape
        flat = {name: part.flatten(0, 1) for name, part in observation.items()}
        features = self.body.features(flat).float().view(steps, count, -1)
        states = []
        for step in range(steps):
            memory = memory * ~first[step].unsqueeze(1)
            memory = self.body.memory(features[step], memory)  # type: ignore[misc]
            states.append(memory)
        seen = torch.cat(states)
        return Output(self.policy(seen), self._values(seen), memory, seen)

    def predicted_reward(
        self, observation: Observation, action: Tensor, features: Tensor | None = None
    ) -> Tensor:
        """What reward `action` (N,) will bring, as one or several predictions, (N, predictions).

        A planning network says so by the cell that is entered, with the rewards that it plans with; any other
        by a layer on the `features` that `forward` gave (None: computed here). NaN where it says nothing.
        """
        if isinstance(self.body.map, Planning):
            return self.body.map.reward(observation[str(self.body.grid)], action)
        assert self.reward is not None
        features = self.body.features(observation) if features is None else features
        return self.reward(features).gather(1, action.unsqueeze(1))

    def reward_map(self, observation: Observation) -> Tensor:
        """The reward that a planning network expects of entering each cell, (N, cells)."""
        assert isinstance(self.body.map, Planning)
        return self.body.map.reward_map(observation[str(self.body.grid)])

    def _values(self, features: Tensor) -> dict[str, Tensor]:
        found = self.value(features).float()
        return {name: found[:, index] for index, name in enumerate(self.names)}


def parameter_count(module: nn.Module) -> int:
    """Numbers that are learned."""
    return sum(parameter.numel() for parameter in module.parameters())
