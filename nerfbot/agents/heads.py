"""What a policy's raw outputs mean as actions: draws, log-probabilities and entropies, a small class a kind.

A head knows an action space and nothing of networks or losses. Where a mask is given, an action outside it
has probability 0 in the rollout and in the update alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from nerfbot.errors import InvalidCommand

CLOSED = -1.0e9
"""Logit of an action outside the mask: its probability is exactly 0 in float32, and no gradient is NaN."""

MIN_LOG_STD, MAX_LOG_STD = -5.0, 2.0


class Head(nn.Module):
    """Base of all heads.

    `outputs` numbers come from the network for one observation; an action is stored as `width` numbers (0: a
    scalar) of `dtype`. `choices`: how many alternatives a mask opens or shuts (0: there are none).
    """

    outputs: int
    width: int
    dtype: torch.dtype
    choices: int = 0

    def sample(self, raw: Tensor, mask: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Draw actions. `raw` (N, outputs), `mask` bool as the action space has it. Shape: (N[, width])."""
        raise NotImplementedError

    def mode(self, raw: Tensor, mask: Tensor | None) -> Tensor:
        """The most likely actions. Shape: (N[, width])."""
        raise NotImplementedError

    def evaluate(self, raw: Tensor, action: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Log-probabilities of actions, and entropies. Shapes: (N,), (N,)."""
        raise NotImplementedError

    def to_environment(self, action: Tensor) -> Any:
        """The actions as the environment takes them: NumPy, batched."""
        return action.cpu().numpy()


class CategoricalHead(Head):
    """One of `n` actions.

    >>> head = CategoricalHead(3)
    >>> head.mode(torch.tensor([[0.0, 2.0, 1.0]]), torch.tensor([[True, False, True]]))
    tensor([2])

    """

    dtype = torch.int64
    width = 0

    def __init__(self, n: int, start: int = 0) -> None:
        super().__init__()
        self.outputs = self.choices = n
        self.start = start

    def _logits(self, raw: Tensor, mask: Tensor | None) -> Tensor:
        raw = raw.float()
        return raw if mask is None else raw.masked_fill(~mask, CLOSED)

    def sample(self, raw: Tensor, mask: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Draw by the Gumbel trick: the largest of logits plus Gumbel noise has the softmax's law."""
        logits = self._logits(raw, mask)
        # Exponential waiting times, compared by their logarithms; the tiny floor keeps log finite.
        noise = torch.empty_like(logits).exponential_(generator=generator).clamp_min_(1.0e-30).log_()
        return (logits - noise).argmax(-1)

    def mode(self, raw: Tensor, mask: Tensor | None) -> Tensor:
        """The largest logit among open actions."""
        return self._logits(raw, mask).argmax(-1)

    def evaluate(self, raw: Tensor, action: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """From one log-softmax."""
        logs = torch.log_softmax(self._logits(raw, mask), -1)
        log_prob = logs.gather(-1, action.unsqueeze(-1)).squeeze(-1)
        return log_prob, -(logs.exp() * logs).sum(-1)

    def to_environment(self, action: Tensor) -> NDArray[np.int64]:
        """Whole numbers from the space's first."""
        return cast("NDArray[np.int64]", (action + self.start if self.start else action).cpu().numpy())


class CompositeHead(Head):
    """Base of heads that consist of others: log-probabilities and entropies add up."""

    def _parts(self, raw: Tensor, mask: Tensor | None) -> list[tuple[Head, Tensor, Tensor | None]]:
        """Each head with its outputs and its mask."""
        raise NotImplementedError

    def _pack(self, actions: list[Tensor]) -> Tensor:
        """The heads' actions as one, (N, width)."""
        raise NotImplementedError

    def _unpack(self, action: Tensor) -> list[Tensor]:
        """The actions of `_pack`."""
        raise NotImplementedError

    def sample(self, raw: Tensor, mask: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Each head on its own."""
        return self._pack([head.sample(x, m, generator) for head, x, m in self._parts(raw, mask)])

    def mode(self, raw: Tensor, mask: Tensor | None) -> Tensor:
        """Each head's mode."""
        return self._pack([head.mode(x, m) for head, x, m in self._parts(raw, mask)])

    def evaluate(self, raw: Tensor, action: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Sums over the heads."""
        parts = zip(self._parts(raw, mask), self._unpack(action), strict=True)
        logs, entropies = zip(*(head.evaluate(x, part, m) for (head, x, m), part in parts), strict=True)
        return torch.stack(logs).sum(0), torch.stack(entropies).sum(0)


class MultiCategoricalHead(CompositeHead):
    """Several choices at once, each one of `sizes[i]`; the mask is the choices' masks side by side.

    `start` gives the choices' first numbers (0), `shape` the form that the environment takes them in (a row).
    """

    dtype = torch.int64

    def __init__(
        self, sizes: Sequence[int], start: Sequence[int] | None = None, shape: tuple[int, ...] | None = None
    ) -> None:
        super().__init__()
        starts = [0] * len(sizes) if start is None else start
        self.heads = [CategoricalHead(int(n), int(s)) for n, s in zip(sizes, starts, strict=True)]
        self.shape = (len(self.heads),) if shape is None else shape
        self.sizes, self.width = [head.outputs for head in self.heads], len(self.heads)
        self.outputs = self.choices = sum(self.sizes)

    def _parts(self, raw: Tensor, mask: Tensor | None) -> list[tuple[Head, Tensor, Tensor | None]]:
        masks = [None] * self.width if mask is None else mask.split(self.sizes, -1)
        return list(zip(self.heads, raw.split(self.sizes, -1), masks, strict=True))

    def _pack(self, actions: list[Tensor]) -> Tensor:
        return torch.stack(actions, -1)

    def _unpack(self, action: Tensor) -> list[Tensor]:
        return list(action.unbind(-1))

    def to_environment(self, action: Tensor) -> NDArray[np.int64]:
        """Whole numbers from each choice's first."""
        rows = np.stack([head.to_environment(action[:, i]) for i, head in enumerate(self.heads)], -1)
        return rows.reshape(-1, *self.shape)


class GaussianHead(Head):
    """A box of numbers: a Gaussian with its own spread for each, clipped to the box or squashed into it.

    Squashing is tanh, with its change of density (Haarnoja et al. 2018, "Soft Actor-Critic", appendix C);
    actions are stored before it, so that no inverse is needed. Its entropy is taken to be the Gaussian's.
    """

    dtype = torch.float32

    def __init__(self, low: NDArray[Any], high: NDArray[Any], squash: bool = False) -> None:
        super().__init__()
        if low.dtype.kind != "f":
            raise InvalidCommand(f"action space: a Box of {low.dtype} is not supported (MultiDiscrete is)")
        self.shape, self.box = low.shape, (low, high)
        self.width = self.outputs = int(np.prod(low.shape))
        self.squash = squash
        if squash and not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise InvalidCommand("action space: a squashed head needs finite bounds")
        self.log_std = nn.Parameter(torch.zeros(self.outputs))

    def _std(self) -> Tensor:
        return self.log_std.clamp(MIN_LOG_STD, MAX_LOG_STD).exp()

    def sample(self, raw: Tensor, mask: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Mean plus spread times noise."""
        mean = raw.float()
        noise = torch.empty_like(mean).normal_(generator=generator)
        return mean + self._std() * noise

    def mode(self, raw: Tensor, mask: Tensor | None) -> Tensor:
        """The mean."""
        return raw.float()

    def evaluate(self, raw: Tensor, action: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Of the Gaussian, less the squashing's change of density."""
        mean, std = raw.float(), self._std()
        log = -0.5 * ((action - mean) / std).square() - std.log() - 0.5 * math.log(2 * math.pi)
        if self.squash:
            # log(1 - tanh(x)^2), in the form that does not lose precision for large x.
            log = log - 2.0 * (math.log(2.0) - action - nn.functional.softplus(-2.0 * action))
        entropy = (std.log() + 0.5 * math.log(2 * math.pi * math.e)).sum()
        return log.sum(-1), entropy.expand(log.shape[:-1])

    def to_environment(self, action: Tensor) -> NDArray[np.floating[Any]]:
        """Inside the box, in its own precision."""
        low, high = self.box
        executed = action.detach().reshape(-1, *self.shape).cpu().numpy().astype(low.dtype)
        if self.squash:
            executed = low + (np.tanh(executed) + 1.0) * 0.5 * (high - low)
        # Rounding may lead a hair's breadth out of the box.
        return cast("NDArray[np.floating[Any]]", np.clip(executed, low, high).astype(low.dtype))


class JointHead(CompositeHead):
    """Several heads side by side, for `Tuple` and `Dict` action spaces; log-probabilities add up.

    The mask is that of the discrete parts, side by side in their order. An action is stored as one row of
    float32 numbers; whole numbers up to 2**24 keep their value.
    """

    dtype = torch.float32

    def __init__(self, heads: Sequence[Head], names: Sequence[str] | None = None) -> None:
        super().__init__()
        self.heads, self.names = nn.ModuleList(heads), names
        self.outputs = sum(head.outputs for head in heads)
        self.choices = sum(head.choices for head in heads)
        self.widths = [max(1, head.width) for head in heads]
        self.width = sum(self.widths)

    def _parts(self, raw: Tensor, mask: Tensor | None) -> list[tuple[Head, Tensor, Tensor | None]]:
        heads = [cast("Head", head) for head in self.heads]
        outputs = raw.split([head.outputs for head in heads], -1)
        if mask is None:
            return [(head, x, None) for head, x in zip(heads, outputs, strict=True)]
        masks = mask.split([head.choices for head in heads], -1)
        return [
            (head, x, m if head.choices else None) for head, x, m in zip(heads, outputs, masks, strict=True)
        ]

    def _pack(self, actions: list[Tensor]) -> Tensor:
        return torch.cat(
            [
                part.float().reshape(len(part), width)
                for part, width in zip(actions, self.widths, strict=True)
            ],
            -1,
        )

    def _unpack(self, action: Tensor) -> list[Tensor]:
        heads = [cast("Head", head) for head in self.heads]
        return [
            (part.squeeze(-1) if head.width == 0 else part).to(head.dtype)
            for head, part in zip(heads, action.split(self.widths, -1), strict=True)
        ]

    def to_environment(self, action: Tensor) -> Any:
        """A tuple or a dict of the parts."""
        parts = [
            cast("Head", head).to_environment(part)
            for head, part in zip(self.heads, self._unpack(action), strict=True)
        ]
        return tuple(parts) if self.names is None else dict(zip(self.names, parts, strict=True))


def head_for(space: spaces.Space[Any], squash: bool = False) -> Head:
    """The head of an action space. Raises `InvalidCommand` for a kind that no head knows."""
    if isinstance(space, spaces.Discrete):
        return CategoricalHead(int(space.n), int(space.start))
    if isinstance(space, spaces.MultiDiscrete):
        sizes, starts = space.nvec.reshape(-1).tolist(), space.start.reshape(-1).tolist()
        return MultiCategoricalHead(sizes, starts, space.nvec.shape)
    if isinstance(space, spaces.Box):
        return GaussianHead(space.low, space.high, squash)
    if isinstance(space, spaces.Tuple):
        return JointHead([head_for(part, squash) for part in space.spaces])
    if isinstance(space, spaces.Dict):
        names = list(space.spaces)
        return JointHead([head_for(space.spaces[name], squash) for name in names], names)
    raise InvalidCommand(
        f"action space: {type(space).__name__} is not supported (Discrete, MultiDiscrete, Box, Tuple, Dict)"
    )
