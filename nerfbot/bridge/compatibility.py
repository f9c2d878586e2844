"""Whether a saved policy fits an environment; an error names the first field that differs.

``about.layout`` of a policy states what it was trained on: the version of the layout and the robot; for the
grid's layout also the features of the vector and the action table, for ``nerfbot/Rover-v0``'s the channels,
the powers and how long it holds an action.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from gymnasium import spaces

from nerfbot.agents.policy import Policy
from nerfbot.errors import InvalidCommand
from nerfbot.grid.action_menu import MOVES

if TYPE_CHECKING:
    from nerfbot.bridge.cells.cells_env import RoverCells
    from nerfbot.sim.envs.rover_env import RoverEnv

LAYOUT = 1
"""Version of the grid's layout; it rises when a byte of the observation or an action changes its meaning."""

ROVER_LAYOUT = 1
"""Version of the layout of ``nerfbot/Rover-v0``'s observation and action."""

PERIOD_DECIMALS = 6
"""Decimals of a period in s, so that 1 / rate equals a whole number of 0.05 s steps."""

ROBOT = "rover"
"""The robot that the grid's rules model."""


class UnfitPolicy(InvalidCommand):
    """A policy for another layout, robot or version; names the field, its value and the value that fits."""


class GridLike(Protocol):
    """An environment with the grid's layout, single or vector."""

    @property
    def action_table(self) -> Sequence[str]:
        """What each action does."""

    @property
    def feature_names(self) -> Sequence[str]:
        """What each number of the vector is."""


def layout_of(env: Any, robot: str = ROBOT) -> dict[str, Any]:
    """The layout that a policy trained on ``env`` states; empty where ``env`` has not the grid's layout."""
    table, features = getattr(env, "action_table", None), getattr(env, "feature_names", None)
    if table is None or features is None:
        return {}
    return {"version": LAYOUT, "robot": robot, "features": list(features), "actions": list(table)}


def robot_of(env: RoverEnv | RoverCells) -> str:
    """The name of an environment's simulated robot."""
    return env.nerfed.plant.description.name


def rover_layout_of(env: RoverEnv, period: float) -> dict[str, Any]:
    """The layout of a policy trained on ``nerfbot/Rover-v0`` or its like; an action lasts ``period`` s."""
    return {
        "version": ROVER_LAYOUT,
        "robot": robot_of(env),
        "channels": [channel.name for channel in env.nerfed.channels],
        "period": round(period, PERIOD_DECIMALS),
        "powers": list(env.action_table),
    }


def check_rover_fit(policy: Policy, env: RoverEnv, period: float) -> None:
    """Raise `UnfitPolicy` for the first field in which a policy does not fit a robot's own environment.

    Further powers on one side are no mismatch: their actions stay masked, or are never used.
    """
    ours = rover_layout_of(env, period)
    check_rover_layout(policy, **{name: ours[name] for name in ("version", "robot")})
    observation = env.observation_space
    parts = dict(observation.spaces) if isinstance(observation, spaces.Dict) else {"": observation}
    for name, box in policy.parts.items():
        _check_part(name, box, parts, "the robot's")
    theirs, twist = _twist_of(policy.action_space), _twist_of(env.action_space)
    assert twist is not None
    if theirs is None:
        raise UnfitPolicy(f"policy: action: is {policy.action_space}, must be a box of commands")
    _same("action.twist.shape", theirs.shape, twist.shape)
    for end in ("low", "high"):
        _same(f"action.twist.{end}", getattr(theirs, end).tolist(), getattr(twist, end).tolist())
    check_rover_layout(policy, **{name: ours[name] for name in ("channels", "period")})
    powers = _layout(policy).get("powers", ours["powers"])
    for index, (their, our) in enumerate(zip(powers, ours["powers"], strict=False)):
        _same(f"about.layout.powers[{index}]", their, our)


def check_rover_layout(policy: Policy, **ours: Any) -> None:
    """Raise `UnfitPolicy` for the first of these fields of `rover_layout_of` that differs in a policy."""
    layout = _layout(policy)
    for field, value in ours.items():
        _same(f"about.layout.{field}", layout.get(field, value), value)


def _layout(policy: Policy) -> Mapping[str, Any]:
    return policy.about.get("layout") or {}


def _twist_of(space: spaces.Space[Any]) -> spaces.Box | None:
    """The box of commands in an action space, alone or beside powers, or None."""
    twist = space.spaces.get("twist") if isinstance(space, spaces.Dict) else space
    return twist if isinstance(twist, spaces.Box) else None


def check_fit(
    policy: Policy, observation: spaces.Dict, env: GridLike, course: str = "the course", robot: str = ROBOT
) -> None:
    """Raise `UnfitPolicy` for the first field in which a policy does not fit.

    ``observation`` is the observation space of one world; ``env`` gives its actions and features. Powers that
    only the policy knows are no mismatch: their actions stay masked.
    """
    layout = _layout(policy)
    _same("about.layout.version", layout.get("version", LAYOUT), LAYOUT)
    _same("about.layout.robot", layout.get("robot", ROBOT), robot)
    for name, box in policy.parts.items():
        if name == "vector" and "features" in layout:
            _same("about.layout.features", list(layout["features"]), list(env.feature_names))
        _check_part(name, box, observation.spaces, "the grid's", course)
    space = policy.action_space
    if not isinstance(space, spaces.Discrete) or space.start != 0:
        raise UnfitPolicy(f"policy: action: is {space}, must be Discrete with the grid's moves")
    outputs = int(space.n)
    if outputs < len(MOVES):
        raise UnfitPolicy(f"policy: action.n: is {outputs}, must be at least the {len(MOVES)} moves")
    _check_actions(layout.get("actions"), list(env.action_table), outputs)


def _check_part(
    name: str, box: spaces.Box, parts: Mapping[str, spaces.Space[Any]], owner: str, course: str = ""
) -> None:
    """Check one part of the observation that a policy expects against the ``parts`` that there are."""
    label = f"observation.{name}" if name else "observation"
    if name not in parts:
        known = ", ".join(parts) if "" not in parts else "one flat vector"
        raise UnfitPolicy(f"policy: {label}: is no part of {owner} observation (it has {known})")
    here = parts[name]
    assert isinstance(here, spaces.Box)
    is_grid = bool(course) and name == "grid"
    if is_grid and len(box.shape) == 3 and box.shape != here.shape:
        (rows, columns), (high, wide) = box.shape[:2], here.shape[:2]
        larger = "larger than its view" if high > rows or wide > columns else "not the size of its view"
        raise UnfitPolicy(
            f"policy: {label}.shape: it sees {rows} x {columns} cells, {course} has {high} x {wide}: {larger}"
        )
    _same(f"{label}.shape", box.shape, here.shape)
    _same(f"{label}.dtype", str(box.dtype), str(here.dtype))
    if is_grid and (box.high != here.high).any():
        raise UnfitPolicy(f"policy: {label}.high: the codes of a cell's bytes are another version's")


def _check_actions(theirs: Sequence[str] | None, ours: Sequence[str], outputs: int) -> None:
    """The moves must be the same, and so must the powers that both have."""
    if theirs is None:
        if len(ours) > len(MOVES) and outputs not in (len(MOVES), len(ours)):
            raise UnfitPolicy(f"policy: action.n: is {outputs}, this power menu has {len(ours)} actions")
        return
    for index in range(max(len(MOVES), min(len(ours), outputs))):
        _same(f"about.layout.actions[{index}]", theirs[index] if index < len(theirs) else None, ours[index])


def _same(field: str, theirs: Any, ours: Any) -> None:
    if theirs != ours:
        raise UnfitPolicy(f"policy: {field}: is {theirs!r}, must be {ours!r} here")
