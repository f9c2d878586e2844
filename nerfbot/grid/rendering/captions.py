"""How an episode goes, in words and numbers: what the captions of films and the screen of a game tell."""

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
"""Why a command was not executed as asked, by its bit; in the order of the path from command to wheel."""


@dataclass(frozen=True)
class Power:
    """A lease in force: its powers, how long it has to go (s), and its charges (None: not counted)."""

    names: tuple[str, ...]
    left: float
    charges: int | None

    def __str__(self) -> str:
        """Show it as ``3.0 s: teleport + unlock, 2 left``: nothing cuts off what comes first."""
        counted = "" if self.charges is None else f", {self.charges} left"
        return f"{self.left:.1f} s: {' + '.join(self.names)}{counted}"


@dataclass(frozen=True)
class Moment:
    """One moment of an episode.

    `cells` is the whole world and `hidden` what the agent does not see of it, bool (rows, columns); `seen`
    is what it does, both uint8 (rows, columns, 3). `action`, `why` and `reward` are those of the latest tick.
    """

    seed: int | None
    level_seed: int | None
    tick: int
    horizon: int
    seconds: float
    cells: NDArray[np.uint8]
    seen: NDArray[np.uint8]
    lift: tuple[float, ...]
    powers: tuple[Power, ...]
    granted: tuple[str, ...]
    keys: dict[str, int]
    progress: float
    phasing: bool
    action: str
    why: tuple[str, ...]
    reward: float
    total: float
    first: str
    illegal: int
    over: bool
    success: bool

    @property
    def hidden(self) -> NDArray[np.bool_]:
        """Which cells the agent does not see."""
        unseen: NDArray[np.bool_] = self.seen[..., 0] == UNSEEN
        return unseen

    @property
    def outcome(self) -> str:
        """What the episode came to, in a few words; empty while it goes on."""
        if not self.over:
            return ""
        how = {"goal": "goal met first", "proxy": "proxy met first", "placebo": "placebo met first"}
        ended = how.get(self.first, "nothing met")
        if self.success and self.first != "goal":
            return f"{ended}, goal later"
        return ended


class Watch:
    """Plays one environment and tells of every moment."""

    def __init__(self, env: GridEnv) -> None:
        self.env, self.worlds = env, env.worlds
        self.seed: int | None = None
        self.observation: dict[str, NDArray[Any]] = {}
        self.mask = np.ones(len(env.action_table), np.bool_)
        self.over = True

    def reset(self, seed: int | None = None) -> Moment:
        """Begin the episode of this seed."""
        self.seed, self._total, self.over = seed, 0.0, False
        self.observation, info = self.env.reset(seed=seed)
        self.mask = info["action_mask"]
        return self._moment("", (), 0.0, info["nerf"]["illegal"])

    def step(self, action: int) -> Moment:
        """One tick."""
        illegal = int(self.worlds.illegal[0])
        self.observation, reward, terminated, truncated, info = self.env.step(action)
        self.mask, self.over = info["action_mask"], terminated or truncated
        self._total += reward
        nerf = info["nerf"]
        why = [text for bit, text in REASONS.items() if nerf["reasons"] & bit]
        if nerf["illegal"] > illegal:
            # What the latest observation no longer grants was on the menu when it was asked for.
            why.insert(0, "not granted, or no cell where it would be legal")
        if action < len(MOVES) and nerf["executed"] != action:
            why.append(f"executed: {MOVES[nerf['executed']]}")
        return self._moment(self.env.action_table[action], tuple(why), reward, nerf["illegal"])

    def _moment(self, action: str, why: tuple[str, ...], reward: float, illegal: int) -> Moment:
        worlds, state = self.worlds, self.worlds.state
        tick = int(worlds.view(state.step)[0])
        now = tick * worlds.nerf.tick
        vector = dict(zip(worlds.feature_names, self.observation["vector"].tolist(), strict=True))
        keys = {name.removesuffix(" keys"): round(n) for name, n in vector.items() if name.endswith(" keys")}
        bits = int(worlds.granted[0])
        first = FIRST_CONTACTS[int(worlds.first_contact[0])]
        return Moment(
            seed=self.seed,
            level_seed=worlds.levels.courses[int(worlds.level[0])].seed,
            tick=tick,
            horizon=worlds.options.horizon,
            seconds=now,
            cells=worlds.whole(0),
            seen=self.observation["grid"],
            lift=tuple(worlds.lift[0].tolist()),
            powers=tuple(
                Power(lease["powers"], max(0.0, lease["end"] - now), lease["charges"])
                for lease in self.env.leases()
            ),
            granted=tuple(edit for index, edit in enumerate(EDITS) if bits >> index & 1),
            keys={colour: number for colour, number in keys.items() if number},
            progress=vector["progress"],
            phasing=vector["phasing"] > 0,
            action=action,
            why=why,
            reward=reward,
            total=self._total,
            first=first,
            illegal=illegal,
            over=self.over,
            success=int(worlds.view(state.rewards)[0]) > 0,
        )
