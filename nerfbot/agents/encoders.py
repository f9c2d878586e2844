"""Encoders: from an observation to features.

A grid's cells are looked up in learned tables of kinds, colours and states; every other part of an
observation is taken as numbers. The heads of policy and critics are in `networks`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from nerfbot.agents.network_config import NetworkConfig
from nerfbot.agents.state_dict import stored_as
from nerfbot.agents.tensor_env import Observation
from nerfbot.errors import InvalidCommand
from nerfbot.grid.codes import AGENT, COLOUR_CODES, FLOOR, KINDS, STATES, WALL


class _Tanh(torch.autograd.Function):
    """tanh x = 2 / (1 + exp(-2 x)) - 1, in float32 at least."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        out = torch.sigmoid_(2.0 * x if x.dtype == wide else x.to(wide).mul_(2.0))
        out = out.mul_(2.0).sub_(1.0).to(x.dtype)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (out,) = ctx.saved_tensors
        return torch.ops.aten.tanh_backward(grad, out)


class Tanh(nn.Module):
    """The hyperbolic tangent; on a CPU by way of the logistic function, which PyTorch computes several times
    as fast there. Within 2e-7 of `torch.tanh` in float32.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape."""
        out: Tensor = _Tanh.apply(x) if x.device.type == "cpu" else torch.tanh(x)
        return out


ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {"tanh": Tanh, "relu": nn.ReLU, "silu": nn.SiLU}


def linear(inputs: int, outputs: int, gain: float = math.sqrt(2.0)) -> nn.Linear:
    """A dense layer with orthogonal weights and no bias at first (Saxe et al. 2014)."""
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class Dense(nn.Module):
    """Dense layers of these sizes, each with its activation. `size` is the last one's."""

    def __init__(self, inputs: int, hidden: Sequence[int], activation: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for outputs in hidden:
            layers += [linear(inputs, outputs), ACTIVATIONS[activation]()]
            inputs = outputs
        self.layers, self.size = nn.Sequential(*layers), inputs

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs) to (N, size)."""
        out: Tensor = self.layers(features)
        return out


def is_grid(box: spaces.Box) -> bool:
    """Whether this part of an observation is a map of kinds, colours and states."""
    return box.dtype == np.uint8 and len(box.shape) == 3 and box.shape[2] == 3


class Plain(nn.Module):
    """Every part of an observation as numbers side by side; bytes, save a grid's, are divided by 255."""

    def __init__(self, parts: Mapping[str, spaces.Box]) -> None:
        super().__init__()
        self.names = list(parts)
        self.scales = {
            name: 1.0 / 255.0 if box.dtype == np.uint8 and not is_grid(box) else 1.0
            for name, box in parts.items()
        }
        self.size = sum(int(np.prod(box.shape)) for box in parts.values())

    def forward(self, observation: Observation) -> Tensor:
        """(N, size) float32."""
        flat = [self._numbers(observation, name) for name in self.names]
        return flat[0] if len(flat) == 1 else torch.cat(flat, 1)

    def _numbers(self, observation: Observation, name: str) -> Tensor:
        numbers, scale = observation[name].flatten(1), self.scales[name]
        if scale != 1.0:
            return numbers.float() * scale
        if numbers.dtype == torch.uint8 and torch.is_autocast_enabled(numbers.device.type):
            return numbers.to(torch.get_autocast_dtype(numbers.device.type))  # a grid's bytes, exactly
        return numbers.float()


class Cells(nn.Module):
    """A map's cells as vectors: what kind and colour together are looked up as, plus what the state is."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.things = nn.Embedding(KINDS * COLOUR_CODES, size)
        self.states = nn.Embedding(STATES, size)
        nn.init.normal_(self.things.weight, std=0.5)
        nn.init.normal_(self.states.weight, std=0.5)
        self.size = size

    def forward(self, grid: Tensor) -> Tensor:
        """(N, rows, columns, 3) uint8 to (N, size, rows, columns)."""
        cells = grid.int()
        vectors: Tensor = self.things(cells[..., 0] * COLOUR_CODES + cells[..., 1]) + self.states(
            cells[..., 2]
        )
        return vectors.permute(0, 3, 1, 2)


class Residual(nn.Module):
    """x + conv(act(conv(act(x)))), as in IMPALA (Espeholt et al. 2018)."""

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__()
        self.act = ACTIVATIONS[activation]()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """The shape stays."""
        out: Tensor = x + self.second(self.act(self.first(self.act(x))))
        return out


class Conv(nn.Module):
    """Looked-up cells, a convolution, residual blocks, and one dense layer over the whole map."""

    def __init__(self, shape: tuple[int, ...], config: NetworkConfig) -> None:
        super().__init__()
        self.cells = Cells(config.embedding)
        self.stem = nn.Conv2d(config.embedding, config.channels, 3, padding=1)
        self.blocks = nn.Sequential(
            *(Residual(config.channels, config.activation) for _ in range(config.blocks))
        )
        self.act = ACTIVATIONS[config.activation]()
        self.size = config.channels * shape[0] * shape[1]

    def forward(self, grid: Tensor) -> Tensor:
        """(N, rows, columns, 3) to (N, size)."""
        out: Tensor = self.act(self.blocks(self.stem(self.cells(grid))))
        return out.flatten(1)


class Egocentric(nn.Module):
    """One dense layer on the map as seen from the agent, computed from the occupied cells alone.

    Walls are a plane of bits and a matrix product. Every other thing is looked up twice, by what it is and by
    where it lies seen from the agent, and the product of the two is its share of the sum: a dense layer over
    place and thing whose weights are factorised, at the price of the few things that a map holds.
    """

    def __init__(self, shape: tuple[int, ...], size: int, activation: str) -> None:
        super().__init__()
        rows, columns = shape[:2]
        self.columns, self.size = columns, size
        self.offsets = (2 * rows - 1) * (2 * columns - 1)
        cell = np.arange(rows * columns)
        row, column = np.divmod(cell, columns)
        down, right = row[None, :] - row[:, None], column[None, :] - column[:, None]
        where = (down + rows - 1) * (2 * columns - 1) + right + columns - 1
        self.register_buffer("where", torch.as_tensor(where), persistent=False)
        self.walls = nn.Linear(self.offsets, size)
        self.places = nn.Embedding(self.offsets, size)
        self.kinds = nn.Embedding(KINDS, size)
        self.colours = nn.Embedding(COLOUR_CODES, size)
        self.states = nn.Embedding(STATES, size)
        self.act = ACTIVATIONS[activation]()
        nn.init.orthogonal_(self.walls.weight, 1.0)
        nn.init.zeros_(self.walls.bias)
        nn.init.normal_(self.places.weight, std=1.0)
        for table in (self.kinds, self.colours):
            nn.init.normal_(table.weight, std=0.7)
        nn.init.zeros_(self.states.weight)

    def forward(self, grid: Tensor) -> Tensor:
        """(N, rows, columns, 3) to (N, size)."""
        cells = grid.flatten(1, 2)
        kind, colour, state = cells[..., 0], cells[..., 1], cells[..., 2]
        agent = (state >= AGENT).int().argmax(1)
        where = self.where[agent]  # type: ignore[index]
        count = len(cells)
        walls = torch.zeros(count, self.offsets, device=grid.device)
        walls.scatter_(1, where, (kind == WALL).float())
        total = self.walls(walls)
        others = (kind != WALL) & ((kind != FLOOR) | ((state & (AGENT - 1)) != 0))
        world, cell = others.nonzero(as_tuple=True)
        # Kind and colour are looked up apart, so that what is learned of one coin is learned of all.
        things = self.kinds(kind[world, cell].int()) + self.colours(colour[world, cell].int())
        things = things + self.states((state[world, cell] & (AGENT - 1)).int())
        total = total.index_add(0, world, (self.places(where[world, cell]) * things).to(total.dtype))
        out: Tensor = self.act(total)
        return out


class Planning(nn.Module):
    """What each of the agent's four moves is worth, by value iteration on what cells are looked up as.

    `channels` maps of rewards and passabilities are looked up by what a cell holds (through one hidden layer,
    so that colours and shapes share what is learned), by its state, and by where it lies. Features are, by
    channel, the four moves' worth in units of their spread, then their mean, maximum and spread.
    """

    def __init__(self, shape: tuple[int, ...], config: NetworkConfig) -> None:
        super().__init__()
        channels, embedding = config.channels, config.embedding
        self.channels = channels
        self.kinds, self.colours = nn.Embedding(KINDS, embedding), nn.Embedding(COLOUR_CODES, embedding)
        self.out = nn.Linear(embedding, 2 * channels)
        self.act = ACTIVATIONS[config.activation]()
        self.state_reward = nn.Parameter(torch.zeros(STATES, channels))
        self.state_passing = nn.Parameter(torch.zeros(STATES, channels))
        self.place_reward = nn.Parameter(torch.zeros(shape[0] * shape[1], channels))
        nn.init.normal_(self.out.weight, std=0.2 / math.sqrt(embedding))
        nn.init.zeros_(self.out.bias)
        nn.init.constant_(self.out.bias[channels:], 1.5)  # values pass at first, and shrink on the way
        self.place_gain = config.place_gain
        self.scale, self.shift = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.size = 7 * channels

    def tables(self) -> tuple[Tensor, Tensor]:
        """Rewards and logits of passing by thing, each (KINDS * COLOUR_CODES, channels)."""
        both = self.kinds.weight.unsqueeze(1) + self.colours.weight.unsqueeze(0)
        out = self.out(self.act(both.flatten(0, 1))).float()
        return out[:, : self.channels], out[:, self.channels :]

    def places(self) -> Tensor:
        """Rewards by place, (cells, channels)."""
        return self.place_gain * self.place_reward

    def forward(self, grid: Tensor) -> Tensor:
        """(N, rows, columns, 3) to (N, 7 channels)."""
        from nerfbot.agents.planning import Planned  # needs Warp

        reward, passing = self.tables()
        worth = Planned.apply(grid, reward, self.state_reward, self.places(), passing, self.state_passing)
        mean, spread = worth.mean(-1, keepdim=True), worth.std(-1, keepdim=True)
        moves = (worth - mean) / (spread + SMALL_SPREAD)
        summary = torch.cat([mean, worth.amax(-1, keepdim=True), spread], -1)
        return torch.cat([moves.flatten(1), summary.flatten(1)], 1)

    def reward(self, grid: Tensor, action: Tensor) -> Tensor:
        """The reward that each channel expects of the cell which a move leads to, (N, channels).

        It is what the channel plans with, save for its unit and its origin, which planning chooses freely.
        NaN for staying: no cell is entered.
        """
        rows, columns = grid.shape[1:3]
        cells = grid.flatten(1, 2)
        place = (cells[..., 2] >= AGENT).int().argmax(1)
        steps = torch.tensor([0, 1, -columns, -1, columns], device=grid.device)
        stays = (action == 0) | (action >= len(steps))
        target = (place + steps[action.masked_fill(stays, 0)]).clamp(0, rows * columns - 1)
        entered = cells[torch.arange(len(grid), device=grid.device), target].int()
        reward, _ = self.tables()
        content = (
            reward[entered[:, 0] * COLOUR_CODES + entered[:, 1]] + self.state_reward[entered[:, 2] % AGENT]
        )
        predicted = self.scale * (content + self.places()[target]) + self.shift
        return predicted.masked_fill(stays.unsqueeze(1), math.nan)

    def reward_map(self, grid: Tensor) -> Tensor:
        """The reward that it expects of entering each cell, the channels' mean, (N, cells)."""
        cells = grid.flatten(1, 2).int()
        things, _ = self.tables()
        things, states = ((table * self.scale).mean(1) for table in (things, self.state_reward))
        places = (self.places() * self.scale).mean(1)
        content = things[cells[..., 0] * COLOUR_CODES + cells[..., 1]] + states[cells[..., 2] % AGENT]
        return content + places + self.shift.mean()

    def prior(self, policy: nn.Linear) -> None:
        """Start a policy on these features at doing what each channel says is worth most."""
        with torch.no_grad():
            for channel in range(self.channels):
                for move in range(4):
                    policy.weight[move + 1, 4 * channel + move] += 1.0 / self.channels


SMALL_SPREAD = 0.01
"""Of the moves' worth, below which their differences fade."""


class Encoder(nn.Module):
    """From an observation to `size` features, with a GRU behind it if `config.memory` asks for one.

    The grid is encoded by the network's kind; every other part is taken as plain numbers. Raises
    `InvalidCommand` for a kind that needs a grid if there is not exactly one.
    """

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
        self.gru = nn.GRUCell(self.dense.size, config.memory) if config.memory else None
        self.size = config.memory or self.dense.size
        stored_as(self, gru="memory")

    def features(self, observation: Observation) -> Tensor:
        """Features before the GRU. Shape: (N, dense size)."""
        inputs = []
        if self.map is not None:
            inputs.append(self.map(observation[str(self.grid)]))
        if self.plain is not None:
            inputs.append(self.plain(observation))
        joined = (
            inputs[0] if len(inputs) == 1 else torch.cat([part.to(inputs[0].dtype) for part in inputs], 1)
        )
        out: Tensor = self.dense(joined)
        return out

    def forward(self, observation: Observation, hidden_state: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Features (N, size), and the hidden state after this observation (N, units)."""
        features = self.features(observation)
        if self.gru is None:
            return features, None
        hidden: Tensor = self.gru(features.float(), hidden_state)
        return hidden, hidden


class Predictor(nn.Module):
    """An encoder without a GRU, and one layer of `outputs` numbers on it."""

    def __init__(
        self, parts: Mapping[str, spaces.Box], config: NetworkConfig, outputs: int, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.encoder = Encoder(parts, config)
        self.out = linear(self.encoder.size, outputs, gain)
        stored_as(self, encoder="body")

    def forward(self, observation: Observation) -> Tensor:
        """(N, outputs)."""
        out: Tensor = self.out(self.encoder.features(observation))
        return out
