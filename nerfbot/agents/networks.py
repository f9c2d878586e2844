"""Networks: a policy and its critics on encoders of the observation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor, nn

from nerfbot.agents.encoders import Encoder, Planning, linear
from nerfbot.agents.heads import CategoricalHead, Head
from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.state_dict import stored_as
from nerfbot.agents.tensor_env import Observation
from nerfbot.errors import InvalidCommand


class Output(NamedTuple):
    """The policy's raw outputs (N, outputs), values by critic (N,), the new hidden state (N, units), and the
    features that the policy read, (N, size).
    """

    policy: Tensor
    values: dict[str, Tensor]
    hidden_state: Tensor | None
    features: Tensor


class ActorCritic(nn.Module):
    """A policy and its critics.

    Args:
        parts: of the observation, by name.
        head: of the action space.
        config: of the network.
        critics: their names.

    Raises `InvalidCommand` for a configuration that does not fit together.

    """

    def __init__(
        self,
        parts: Mapping[str, spaces.Box],
        head: Head,
        config: NetworkConfig,
        critics: Sequence[str] = ("task",),
    ) -> None:
        super().__init__()
        if config.separate and config.memory:
            raise InvalidCommand("network.separate: a network with memory has one encoder")
        self.config, self.head, self.critics = config, head, tuple(critics)
        self.encoder = Encoder(parts, config)
        self.critic = Encoder(parts, config) if config.separate else None
        self.policy = linear(self.encoder.size, head.outputs, 0.01)
        self.value = linear(self.encoder.size, len(self.critics), 1.0)
        self.reward: nn.Linear | None = None
        stored_as(self, encoder="body")
        if isinstance(self.encoder.map, Planning):
            if not config.hidden and not config.memory:
                self.encoder.map.prior(self.policy)
        elif config.predicts_reward:
            if not isinstance(head, CategoricalHead):
                raise InvalidCommand("network.predicts_reward: needs a discrete action space")
            self.reward = linear(self.encoder.size, head.outputs, 0.01)

    @property
    def recurrent(self) -> bool:
        """Whether it has a hidden state."""
        return self.config.memory > 0

    def initial_state(self, count: int, device: torch.device) -> Tensor | None:
        """The hidden state at the start of an episode. Shape: (count, units)."""
        return torch.zeros(count, self.config.memory, device=device) if self.recurrent else None

    def forward(
        self, observation: Observation, hidden_state: Tensor | None = None, with_values: bool = True
    ) -> Output:
        """One observation a world; `with_values`: of critics with an encoder of their own too."""
        features, hidden = self.encoder(observation, hidden_state)
        values: dict[str, Tensor] = {}
        if self.critic is None:
            values = self._values(features)
        elif with_values:
            values = self.values(observation)
        return Output(self.policy(features), values, hidden, features)

    def values(self, observation: Observation) -> dict[str, Tensor]:
        """The values alone, by critics that have an encoder of their own. Shape: (N,)."""
        assert self.critic is not None
        return self._values(self.critic.features(observation))

    def sequence(self, observation: Observation, hidden_state: Tensor, is_first: Tensor) -> Output:
        """Some steps of some worlds, for a recurrent network; outputs have the shape (steps * worlds, ...).

        Args:
            observation: of one step after another. Shape: (steps * worlds, ...).
            hidden_state: before the first step. Shape: (worlds, units).
            is_first: bool; an episode begins. Shape: (steps, worlds).

        """
        assert self.encoder.gru is not None
        steps, count = is_first.shape
        features = self.encoder.features(observation).float().view(steps, count, -1)
        states = []
        for step in range(steps):
            hidden_state = hidden_state * ~is_first[step].unsqueeze(1)
            hidden_state = self.encoder.gru(features[step], hidden_state)
            states.append(hidden_state)
        out = torch.cat(states)
        return Output(self.policy(out), self._values(out), hidden_state, out)

    def predicted_reward(
        self, observation: Observation, action: Tensor, features: Tensor | None = None
    ) -> Tensor:
        """The reward that `action` (N,) is expected to bring. Shape: (N, predictions), one or several.

        A planning network predicts it from the cell that is entered, with the rewards that it plans with; any
        other by a layer on the `features` that `forward` gave (None: computed here). NaN: no prediction.
        """
        if isinstance(self.encoder.map, Planning):
            return self.encoder.map.reward(observation[str(self.encoder.grid)], action)
        assert self.reward is not None
        features = self.encoder.features(observation) if features is None else features
        return self.reward(features).gather(1, action.unsqueeze(1))

    def reward_map(self, observation: Observation) -> Tensor:
        """The reward that a planning network expects of entering each cell. Shape: (N, cells)."""
        assert isinstance(self.encoder.map, Planning)
        return self.encoder.map.reward_map(observation[str(self.encoder.grid)])

    def _values(self, features: Tensor) -> dict[str, Tensor]:
        values = self.value(features).float()
        return {name: values[:, index] for index, name in enumerate(self.critics)}
