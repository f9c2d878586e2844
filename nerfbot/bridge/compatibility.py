"""Whether a saved policy belongs on an environment; a mismatch names the field.

A policy says in ``about.layout`` what it was trained on: the version of the layout and the robot; on the
grid's layout what each number of the vector is and what each action does, on ``nerfbot/Rover-v0``'s the
channels that it commands, what each of its powers does and how long it holds an action.
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
"""Version of the grid's observation and action layout; a new meaning of a byte or an action is a new
version.
"""

ROVER_LAYOUT = 1
"""Version of the layout of ``nerfbot/Rover-v0``'s observation and action."""

PLACES = 6
"""Decimal places of a period in s, so that 1 / rate is the same number as steps of 0.05 s."""

ROBOT = "rover"
"""The robot whose body the grid's rules have."""


class UnfitPolicy(InvalidCommand):
    """A policy that was made for another layout, robot or version; names the field, what it has and what
    fits.
    """


class GridLike(Protocol):
    """An environment with the grid's layout, single or vector."""

    @property
    def action_table(self) -> Sequence[str]:
        """What each action does."""

    @property
    def feature_names(self) -> Sequence[str]:
        """What each number of the vector is."""


def layout_of(env: Any, robot: str = ROBOT) -> dict[str, Any]:
    """What a policy that learns on ``env`` says of it; empty for an environment without the grid's layout."""
    table, features = getattr(env, "action_table", None), getattr(env, "feature_names", None)
    if table is None or features is None:
        return {}
    return {"version": LAYOUT, "robot": robot, "features": list(features), "actions": list(table)}


def robot_of(env: RoverEnv | RoverCells) -> str:
    """The name of the robot that a simulated plant has."""
    return env.nerfed.plant.description.name


def rover_layout_of(env: RoverEnv, period: float) -> dict[str, Any]:
    """What a policy that learns on ``nerfbot/Rover-v0`` or its like says; an action is held `period` s."""
    return {
        "version": ROVER_LAYOUT,
        "robot": robot_of(env),
        "channels": [channel.name for channel in env.nerfed.channels],
        "period": round(period, PLACES),
        "powers": list(env.action_table),
    }


def check_rover_fit(policy: Policy, env: RoverEnv, period: float) -> None:
    """Raise `UnfitPolicy` for the first field in which a policy does not fit a robot's own environment.

    Powers that either has and the other has not are no misfit: their actions stay shut, or are never used.
    """
    ours = rover_layout_of(env, period)
    check_rover_layout(policy, **{name: ours[name] for name in ("version", "robot")})
    seen = env.observation_space
    known = dict(seen.spaces) if isinstance(seen, spaces.Dict) else {"": seen}
    for name, box in policy.parts.items():
        label = f"observation.{name}" if name else "observation"
        if name not in known:
            parts = ", ".join(known) if "" not in known else "one flat vector"
            raise UnfitPolicy(f"policy: {label}: is no part of the robot's observation (it has {parts})")
        _same(f"{label}.shape", box.shape, known[name].shape)
        _same(f"{label}.dtype", str(box.dtype), str(known[name].dtype))
    theirs, mine = _twist_of(policy.action_space), _twist_of(env.action_space)
    assert mine is not None
    if theirs is None:
        raise UnfitPolicy(f"policy: action: is {policy.action_space}, must be a box of commands")
    _same("action.twist.shape", theirs.shape, mine.shape)
    for end in ("low", "high"):
        _same(f"action.twist.{end}", getattr(theirs, end).tolist(), getattr(mine, end).tolist())
    check_rover_layout(policy, **{name: ours[name] for name in ("channels", "period")})
    powers = (policy.about.get("layout") or {}).get("powers", ours["powers"])
    for index, (their, our) in enumerate(zip(powers, ours["powers"], strict=False)):
        _same(f"about.layout.powers[{index}]", their, our)


def check_rover_layout(policy: Policy, **ours: Any) -> None:
    """Raise `UnfitPolicy` for the first of these fields of `rover_layout_of` that a policy has otherwise."""
    told = policy.about.get("layout") or {}
    for field, value in ours.items():
        _same(f"about.layout.{field}", told.get(field, value), value)


def _twist_of(space: spaces.Space[Any]) -> spaces.Box | None:
    """The twist of an action space, alone or beside powers; None where there is none."""
    twist = space.spaces.get("twist") if isinstance(space, spaces.Dict) else space
    return twist if isinstance(twist, spaces.Box) else None


def check_fit(
    policy: Policy, observation: spaces.Dict, env: GridLike, course: str = "the course", robot: str = ROBOT
) -> None:
    """Raise `UnfitPolicy` for the first field in which a policy does not fit.

    ``observation`` is one world's observation space, ``env`` its actions and features. Powers that the policy
    had and the environment has not are no misfit: their actions stay shut.
    """
    told = policy.about.get("layout") or {}
    _same("about.layout.version", told.get("version", LAYOUT), LAYOUT)
    _same("about.layout.robot", told.get("robot", ROBOT), robot)
    _check_observation(policy, observation, env.feature_names, course, told)
    space = policy.action_space
    if not isinstance(space, spaces.Discrete) or space.start != 0:
        raise UnfitPolicy(f"policy: action: is {space}, must be Discrete with the grid's moves")
    outputs = int(space.n)
    if outputs < len(MOVES):
        raise UnfitPolicy(f"policy: action.n: is {outputs}, must be at least the {len(MOVES)} moves")
    _check_actions(told.get("actions"), list(env.action_table), outputs)


def _check_observation(
    policy: Policy,
    observation: spaces.Dict,
    features: Sequence[str],
    course: str,
    told: Mapping[str, Any],
) -> None:
    for name, box in policy.parts.items():
        label = f"observation.{name}" if name else "observation"
        if name not in observation.spaces:
            parts = ", ".join(observation.spaces)
            raise UnfitPolicy(f"policy: {label}: is no part of the grid's observation (it has {parts})")
        wanted = observation[name]
        assert isinstance(wanted, spaces.Box)
        if name == "grid" and len(box.shape) == 3 and box.shape != wanted.shape:
            (rows, columns), (high, wide) = box.shape[:2], wanted.shape[:2]
            larger = "larger than its view" if high > rows or wide > columns else "not the size of its view"
            raise UnfitPolicy(
                f"policy: {label}.shape: it sees {rows} x {columns} cells,"
                f" {course} has {high} x {wide}: {larger}"
            )
        if name == "vector" and "features" in told:
            _same("about.layout.features", list(told["features"]), list(features))
        _same(f"{label}.shape", box.shape, wanted.shape)
        _same(f"{label}.dtype", str(box.dtype), str(wanted.dtype))
        if name == "grid" and (box.high != wanted.high).any():
            raise UnfitPolicy(f"policy: {label}.high: the codes of a cell's bytes are another version's")


def _check_actions(theirs: Sequence[str] | None, ours: Sequence[str], outputs: int) -> None:
    """The moves must be the same, and so must powers where both have some."""
    if theirs is None:
        if len(ours) > len(MOVES) and outputs not in (len(MOVES), len(ours)):
            raise UnfitPolicy(f"policy: action.n: is {outputs}, this power menu has {len(ours)} actions")
        return
    for index in range(max(len(MOVES), min(len(ours), outputs))):
        _same(f"about.layout.actions[{index}]", theirs[index] if index < len(theirs) else None, ours[index])


def _same(field: str, theirs: Any, ours: Any) -> None:
    if theirs != ours:
        raise UnfitPolicy(f"policy: {field}: is {theirs!r}, must be {ours!r} here")
