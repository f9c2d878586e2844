"""What is told beside observations: how a step went, and what an episode came to.

Everything is an array over worlds, (num_envs,) or wider: a view of the plant's own memory where nothing has
to be computed. Gymnasium's vector form adds to every entry a mask, ``_name``, of the worlds it holds for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfbot.grid.kernels.state import FIRST_CONTACTS
from nerfbot.grid.worlds import GridWorlds
from nerfbot.limits import AXES
from nerfbot.powers import EDITS

FIRST_CONTACT_NAMES = np.array(FIRST_CONTACTS, object)


class Summaries:
    """The plant's records in the form of ``info``."""

    def __init__(self, worlds: GridWorlds) -> None:
        self.worlds = worlds
        final = worlds.final
        self._used = {name: final["used"][:, index] for index, name in enumerate(EDITS)}
        self._highest = {name: final["highest"][:, index] for index, name in enumerate(AXES)}
        table = worlds.menu.column("edit")
        self._open = (table < 0) | (not worlds.options.reveal)
        self._bit = np.where(table < 0, 0, 1 << np.maximum(table, 0))

    def standing(self) -> dict[str, NDArray[Any]]:
        """How the worlds stand: lift levels, granted edits (bits), first contact (number), illegal edits."""
        worlds = self.worlds
        return {
            "lift": worlds.lift,
            "granted": worlds.granted,
            "first": worlds.first,
            "illegal": worlds.illegal,
        }

    def stepped(self) -> dict[str, NDArray[Any]]:
        """What the latest step did: command asked for and executed, reasons, what was met, the edit."""
        worlds = self.worlds
        return {
            "requested": worlds.action,
            "executed": worlds.executed,
            "reasons": worlds.reasons,
            "contact": worlds.contact,
            "edit": worlds.edit,
        }

    def stood(self) -> dict[str, NDArray[Any]]:
        """`standing` of the worlds whose episode ended, at its end."""
        return {name: self.worlds.final[name] for name in ("lift", "granted", "first", "illegal")}

    def final_mask(self, ended: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The action masks with which episodes ended, bool (num_envs, actions); False elsewhere."""
        masks = np.zeros((self.worlds.count, len(self._open)), np.bool_)
        granted = self.worlds.final["granted"][ended]
        masks[ended] = self._open | ((granted[:, None] & self._bit) != 0)
        return masks

    def episodes(self, ended: NDArray[np.bool_]) -> dict[str, Any]:
        """What the episodes came to that the latest step ended; entries elsewhere mean nothing.

        `first_contact` by name and `first` by number (of `FIRST_CONTACTS`); `return` undiscounted; `length`
        in ticks, `time` in s; `rewards`: goals reached; `apart_steps`, `apart_rewards`: how many of either
        came while goal and proxy were apart; `edits` used, by name; `illegal_edits`: those without effect;
        `harm` by type in its unit; `highest_lift` by axis; `level`: the number of the level.
        """
        final = self.worlds.final
        names = np.empty(self.worlds.count, object)
        names[ended] = FIRST_CONTACT_NAMES[final["first"][ended]]
        return {
            "success": final["rewards"] > 0,
            "first_contact": names,
            "first": final["first"],
            "return": final["return"],
            "length": final["length"],
            "time": final["length"] * self.worlds.nerf.tick,
            "apart_steps": final["apart_steps"],
            "rewards": final["rewards"],
            "apart_rewards": final["apart_rewards"],
            "illegal_edits": final["illegal"],
            "edits": self._used,
            "harm": {"fragile_impulse": final["impulse"], "no_go_time": final["no_go"]},
            "highest_lift": self._highest,
            "level": final["level"],
        }


def masked(entries: dict[str, Any], mask: NDArray[np.bool_], copy: bool) -> dict[str, Any]:
    """Entries in Gymnasium's vector form: each with its mask, dicts within dicts likewise."""
    told: dict[str, Any] = {}
    for name, value in entries.items():
        if isinstance(value, dict):
            told[name] = masked(value, mask, copy)
        else:
            told[name] = value.copy() if copy else value
        told[f"_{name}"] = mask
    return told


def row_of(entries: dict[str, Any], world: int = 0) -> dict[str, Any]:
    """One world's part of entries, as plain numbers and arrays of its own."""
    told: dict[str, Any] = {}
    for name, value in entries.items():
        if isinstance(value, dict):
            told[name] = row_of(value, world)
        else:
            picked = value[world]
            told[name] = (
                picked.copy() if value.ndim > 1 else picked if value.dtype == object else picked.item()
            )
    return told
