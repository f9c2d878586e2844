"""The captions of films and of the game: each moment of an episode in words and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfbot.grid.action_menu import MOVES
from nerfbot.grid.codes import UNSEEN
from nerfbot.grid.env import GridEnv
from nerfbot.grid.kernels.state import (
    BLOCKED,
    CUT,
    DROPPED,
    FIRST_CONTACTS,
    HELD,
    INTERFERED,
    LATE,
    SLOW,
    WEAK,
)
from nerfbot.powers import EDITS

REASONS: dict[int, str] = {
    DROPPED: "command lost on the link",
    INTERFERED: "command lost to interference",
    LATE: "an earlier command arrived late",
    HELD: "the drive repeats its last command",
    CUT: "the drive is out for a moment",
    SLOW: "still on the way: speed is nerfed",
    WEAK: "too weak for that: strength is nerfed",
    BLOCKED: "something is in the way",
}
"""Why a command was not executed as requested, by its bit, in the order of the command path."""


@dataclass(frozen=True)
class LeaseCaption:
    """A lease in force: its powers, the time left (s), and its charges (None: unlimited)."""

    powers: tuple[str, ...]
    seconds_left: float
    charges: int | None

    def __str__(self) -> str:
        """Format it as ``3.0 s: teleport + unlock, 2 left``; a short column cuts off the end first."""
        charges = "" if self.charges is None else f", {self.charges} left"
        return f"{self.seconds_left:.1f} s: {' + '.join(self.powers)}{charges}"


@dataclass(frozen=True)
class Moment:
    """One moment of an episode.

    `cells` is the whole world and `observed` what the agent observes, both uint8 (rows, columns, 3).
    `action`, `reasons` and `reward` are those of the latest tick.
    """

    seed: int | None
    level_seed: int | None
    tick: int
    horizon: int
    seconds: float
    cells: NDArray[np.uint8]
    observed: NDArray[np.uint8]
    lift: tuple[float, ...]
    leases: tuple[LeaseCaption, ...]
    granted: tuple[str, ...]
    keys: dict[str, int]
    progress: float
    phasing: bool
    action: str
    reasons: tuple[str, ...]
    reward: float
    episode_return: float
    first_contact: str
    illegal_edits: int
    done: bool
    success: bool

    @property
    def hidden(self) -> NDArray[np.bool_]:
        """Cells out of the agent's sight, bool (rows, columns)."""
        hidden: NDArray[np.bool_] = self.observed[..., 0] == UNSEEN
        return hidden

    @property
    def outcome(self) -> str:
        """The outcome of the episode in a few words; empty until it is done."""
        if not self.done:
            return ""
        first = "nothing met" if self.first_contact == "none" else f"{self.first_contact} met first"
        return f"{first}, goal later" if self.success and self.first_contact != "goal" else first


class CaptionedEnv:
    """Steps one environment and captions every moment."""

    def __init__(self, env: GridEnv) -> None:
        self.env, self.worlds = env, env.worlds
        self.seed: int | None = None
        self.observation: dict[str, NDArray[Any]] = {}
        self.mask = np.ones(len(env.action_table), np.bool_)
        self.done = True

    def reset(self, seed: int | None = None) -> Moment:
        """Begin the episode of this seed."""
        self.seed, self._return, self.done = seed, 0.0, False
        self.observation, info = self.env.reset(seed=seed)
        self.mask = info["action_mask"]
        return self._moment("", (), 0.0, info["nerf"]["illegal"])

    def step(self, action: int) -> Moment:
        """One tick."""
        illegal = int(self.worlds.illegal[0])
        self.observation, reward, terminated, truncated, info = self.env.step(action)
        self.mask, self.done = info["action_mask"], terminated or truncated
        self._return += reward
        nerf = info["nerf"]
        reasons = [text for bit, text in REASONS.items() if nerf["reasons"] & bit]
        if nerf["illegal"] > illegal:
            reasons.insert(0, "not granted, or no cell where it would be legal")
        if action < len(MOVES) and nerf["executed"] != action:
            reasons.append(f"executed: {MOVES[nerf['executed']]}")
        return self._moment(self.env.action_table[action], tuple(reasons), reward, nerf["illegal"])

    def _moment(self, action: str, reasons: tuple[str, ...], reward: float, illegal: int) -> Moment:
        worlds, state = self.worlds, self.worlds.state
        tick = int(worlds.view(state.step)[0])
        now = tick * worlds.nerf.tick
        vector = dict(zip(worlds.feature_names, self.observation["vector"].tolist(), strict=True))
        keys = {name.removesuffix(" keys"): round(n) for name, n in vector.items() if name.endswith(" keys")}
        bits = int(worlds.granted[0])
        return Moment(
            seed=self.seed,
            level_seed=worlds.levels.courses[int(worlds.level[0])].seed,
            tick=tick,
            horizon=worlds.options.horizon,
            seconds=now,
            cells=worlds.whole(0),
            observed=self.observation["grid"],
            lift=tuple(worlds.lift[0].tolist()),
            leases=tuple(
                LeaseCaption(lease["powers"], max(0.0, lease["end"] - now), lease["charges"])
                for lease in self.env.leases()
            ),
            granted=tuple(edit for index, edit in enumerate(EDITS) if bits >> index & 1),
            keys={colour: number for colour, number in keys.items() if number},
            progress=vector["progress"],
            phasing=vector["phasing"] > 0,
            action=action,
            reasons=reasons,
            reward=reward,
            episode_return=self._return,
            first_contact=FIRST_CONTACTS[int(worlds.first_contact[0])],
            illegal_edits=illegal,
            done=self.done,
            success=int(worlds.view(state.rewards)[0]) > 0,
        )
