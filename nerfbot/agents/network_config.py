"""What a network consists of, as data: the section ``network`` of an experiment."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nerfbot.declared import Declared, NonNegative, PositiveInt


class NetworkConfig(Declared):
    """A network.

    `kind`: "mlp", "conv" (residual), "egocentric" (a dense layer on the map as seen from the agent),
    "planning" (value iteration). `hidden`: sizes of the dense layers; `channels` and `blocks` of the
    convolutions; `embedding`: numbers that a cell is looked up as; `memory`: units of a GRU behind the
    encoder (0: none). `separate` gives policy and critics an encoder each. `vector`: whether the
    observation's plain numbers are read beside a grid. `predicts_reward`: whether it predicts the reward of
    each action too, for PPO's auxiliary loss. `place_gain`: how readily a planning network attributes a
    reward to a cell's place rather than to its content (0: never).
    """

    kind: Literal["mlp", "conv", "egocentric", "planning"] = "mlp"
    hidden: Annotated[tuple[PositiveInt, ...], Field(max_length=64)] = (256, 256)
    channels: PositiveInt = 32
    blocks: Annotated[PositiveInt, Field(le=64)] = 2
    embedding: PositiveInt = 8
    memory: Annotated[int, Field(ge=0)] = 0
    activation: Literal["tanh", "relu", "silu"] = "tanh"
    separate: bool = False
    vector: bool = True
    predicts_reward: bool = False
    place_gain: NonNegative = 1.0
