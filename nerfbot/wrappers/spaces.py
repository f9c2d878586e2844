"""Actions as channels: what a limiter needs to know of an action space, and the way there and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from nerfbot.errors import InvalidCommand, InvalidSpec
from nerfbot.limits import Channel, ChannelEnvelope, ChannelNerf, Envelope, NerfSpec

_UNBOUNDED = 1e9  # what the limiter clamps to; a bound beyond it bounds nothing
_HAIR = 1e-9  # keeps 2.9999999999 from falling to 2
_LEAST = 1e-9  # stands for a bound of 0, which no envelope has; decoding bounds it
_RELIABILITY = ("hold", "intermittent")


class Actions(Protocol):
    """Actions of one space as channels. ``lead`` is () for one environment, (num_envs,) for a vector."""

    spec: NerfSpec
    channels: tuple[Channel, ...]
    envelope: Envelope
    shape: tuple[int, ...]

    def encode(self, actions: Any, lead: tuple[int, ...]) -> NDArray[np.float64]:
        """Channel values (count, channels); raises `InvalidCommand` for what is no action."""

    def decode(self, values: NDArray[np.float64], lead: tuple[int, ...]) -> Any:
        """The actions for the environment, in the space's own shape and type."""

    def executed(self, values: NDArray[np.float64], lead: tuple[int, ...]) -> Any:
        """What `decode` gives, for ``info``."""

    def shown(self, values: NDArray[np.float64], lead: tuple[int, ...]) -> Any:
        """Channel values for ``info``, in the space's shape."""


def actions_of(
    space: gymnasium.Space,
    spec: NerfSpec,
    channels: Sequence[dict[str, Any]] | None,
    mode: str,
    noop: Any,
    period: float,
    allow: Sequence[str],
) -> Actions:
    """The translation for ``space``; raises `InvalidSpec` for a space that is not supported."""
    if isinstance(space, spaces.Box):
        if noop is not None:
            raise InvalidSpec(f"noop = {noop!r}: only a discrete action space has one, this is {space}")
        return BoxActions(space, spec, channels, mode, period)
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
        return IndexActions(space, spec, channels, noop, allow)
    raise InvalidSpec(
        f"{spec.name}: action space {space}: only Box, Discrete, MultiDiscrete and MultiBinary can be limited"
    )


class BoxActions:
    """A Box: one channel an element, in the order of the flattened action."""

    def __init__(
        self,
        space: spaces.Box,
        spec: NerfSpec,
        channels: Sequence[dict[str, Any]] | None,
        mode: str,
        period: float,
    ) -> None:
        self.spec, self._space, self.shape = spec, space, space.shape
        # Where `_LEAST` stands for a bound, the space's own is kept here.
        self._top = np.where((space.high == 0.0) | (space.low == space.high), space.high, np.inf)
        self.channels = _channels(space.low.size, channels, mode)
        bounds = zip(self.channels, space.low.ravel().tolist(), space.high.ravel().tolist(), strict=True)
        self.envelope = Envelope(
            channels={
                channel.name: _stated(spec, channel) or _derived(spec, channel, low, high, period)
                for channel, low, high in bounds
            }
        )

    def encode(self, actions: Any, lead: tuple[int, ...]) -> NDArray[np.float64]:
        """Channel values (count, channels); raises `InvalidCommand` for a wrong shape or no number."""
        array = _array(actions, (*lead, *self.shape))
        if array.dtype.kind not in "iufb":
            raise InvalidCommand(f"action: must hold numbers, got {array.dtype}")
        values = array.astype(np.float64)
        if not np.isfinite(values).all():
            place = [int(i) for i in np.argwhere(~np.isfinite(values))[0]]
            raise InvalidCommand(f"action{place}: must be a finite number, got {values[tuple(place)]}")
        return values.reshape(-1, len(self.channels))

    def decode(self, values: NDArray[np.float64], lead: tuple[int, ...]) -> Any:
        """The actions in the space's shape and type."""
        return self.executed(values, lead).astype(self._space.dtype)

    def executed(self, values: NDArray[np.float64], lead: tuple[int, ...]) -> Any:
        """What `decode` gives, as floats in the space's shape.

        For a space of integers whole numbers, rounded towards zero: rounding must not pass a limit.
        """
        if np.issubdtype(self._space.dtype, np.integer):
            values = np.trunc(values + np.copysign(_HAIR, values))
        return np.minimum(values.reshape((*lead, *self.shape)), self._top)

    def shown(self, values: NDArray[np.float64], lead: tuple[int, ...]) -> Any:
        """The channel values in the space's shape."""
        return values.reshape((*lead, *self.shape))


class IndexActions:
    """Discrete, MultiDiscrete or MultiBinary: reliability alone means anything to a choice.

    A choice is late, stuck or lost; a lost one becomes the noop. Inside, it is an effort channel whose
    zero is the noop: the one mode in which a command stands for itself and nothing limits its change.
    """

    def __init__(
        self,
        space: spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary,
        spec: NerfSpec,
        channels: Sequence[dict[str, Any]] | None,
        noop: Any,
        allow: Sequence[str],
    ) -> None:
        self._space = space
        self.shape = shape = space.shape or ()
        start = np.asarray(getattr(space, "start", 0), np.int64)
        size = np.asarray(getattr(space, "nvec", getattr(space, "n", 2)), np.int64)
        if isinstance(space, spaces.MultiBinary):
            size = np.asarray(2)
        self._low = np.broadcast_to(start, shape)
        self._high = self._low + size - 1
        self.channels = _channels(self._low.size, channels, "effort")
        self._noop = self._low if noop is None else self._checked(_array(noop, shape, "noop"), "noop")
        below, above = self._low - self._noop, self._high - self._noop
        bounds = zip(self.channels, below.ravel().tolist(), above.ravel().tolist(), strict=True)
        self.envelope = Envelope(
            channels={
                channel.name: ChannelEnvelope(min_effort=low, max_effort=max(high, 1))
                for channel, low, high in bounds
            }
        )
        self.spec = _reliability_only(spec, allow)

    def encode(self, actions: Any, lead: tuple[int, ...]) -> NDArray[np.float64]:
        """Channel values (count, channels): choices counted from the noop."""
        array = self._checked(_array(actions, (*lead, *self.shape)), "action")
        return (array - self._noop).astype(np.float64).reshape(-1, len(self.channels))

    def decode(self, values: NDArray[np.float64], lead: tuple[int, ...]) -> Any:
        """The choices in the space's shape and type."""
        choices = np.rint(values).reshape((*lead, *self.shape)).astype(np.int64) + self._noop
        return choices.astype(self._space.dtype)[()]

    executed = shown = decode

    def _checked(self, array: NDArray, what: str) -> NDArray[np.int64]:
        if array.dtype.kind not in "iub":
            raise InvalidCommand(f"{what}: must hold whole numbers, got {array.dtype}")
        outside = (array < self._low) | (array > self._high)
        if outside.any():
            raise InvalidCommand(
                f"{what}: must be in {self._space}, got {np.asarray(array)[outside].tolist()[0]}"
            )
        return array.astype(np.int64)


def _array(given: Any, shape: tuple[int, ...], what: str = "action") -> NDArray:
    try:
        array = np.asarray(given)
    except ValueError:
        raise InvalidCommand(f"{what} must have shape {shape}, got a ragged one") from None
    if array.shape != shape:
        raise InvalidCommand(f"{what} must have shape {shape}, got {array.shape}")
    return array


def _channels(count: int, given: Sequence[dict[str, Any]] | None, mode: str) -> tuple[Channel, ...]:
    if given is None:
        given = [{"name": f"action[{index}]", "mode": mode, "unit": "1"} for index in range(count)]
    if len(given) != count:
        raise InvalidSpec(f"channels: the action has {count} elements, got {len(given)} channels")
    channels = tuple(Channel(**item) for item in given)
    names = [channel.name for channel in channels]
    if len(set(names)) < count:
        raise InvalidSpec(f"channels: names must differ, got {names}")
    return channels


def _stated(spec: NerfSpec, channel: Channel) -> ChannelEnvelope | None:
    return None if spec.envelope is None else spec.envelope.find(channel.name)


def _derived(spec: NerfSpec, channel: Channel, low: float, high: float, period: float) -> ChannelEnvelope:
    """The envelope that a Box's bounds amount to.

    A Box says nothing of acceleration: the whole range may be crossed within one period. A stop takes a
    second from the largest command.
    """
    if not (abs(low) < _UNBOUNDED and abs(high) < _UNBOUNDED):
        raise InvalidSpec(
            f"{spec.name}: envelope.{channel.name}: is required, since the action's range"
            f" [{low:g}, {high:g}] is unbounded"
        )
    if channel.mode == "position":
        span = max(high - low, _LEAST)
        return ChannelEnvelope(
            min_position=low,
            max_position=low + span,
            max_velocity=4.0 * span / period,
            max_acceleration=16.0 * span / period**2,
            stop_deceleration=span,
        )
    if low > 0.0 or high < 0.0:
        raise InvalidSpec(
            f"channel {channel.name}: mode {channel.mode!r} needs an action range around zero,"
            f" got [{low:g}, {high:g}]; mode 'position' takes any"
        )
    if channel.mode == "effort":
        return ChannelEnvelope(min_effort=low, max_effort=max(high, _LEAST))
    largest = max(-low, high, _LEAST)
    return ChannelEnvelope(
        min_velocity=low,
        max_velocity=max(high, _LEAST),
        max_acceleration=4.0 * largest / period,
        stop_deceleration=largest,
    )


def _reliability_only(spec: NerfSpec, allow: Sequence[str]) -> NerfSpec:
    """``spec`` with the limits that a choice can carry; raises `InvalidSpec` for the first other one."""
    sections = {}
    for key, section in spec.channels.items():
        for field, _ in section.limits():
            if field.partition(".")[0] not in _RELIABILITY and f"{key}.{field}" not in allow:
                raise InvalidSpec(
                    f"{spec.name}: channels[{key}].{field}: is not enforceable: a discrete action"
                    f" can be late, stuck or lost, no more (allow {f'{key}.{field}'!r} to go on without it)"
                )
        carried = {name: getattr(section, name) for name in _RELIABILITY if name in section.model_fields_set}
        sections[key] = ChannelNerf(**carried)
    return spec.model_copy(update={"channels": sections})
