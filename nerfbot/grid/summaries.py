"""The ``info`` of the grid's environments: how a step went, and the summary of an episode.

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

_FIRST_CONTACTS = np.array(FIRST_CONTACTS, object)


class Summaries:
    """The plant's records in the form of ``info``."""

    def __init__(self, worlds: GridWorlds) -> None:
        self.worlds = worlds
        final = worlds.final
        self._used = {name: final["used"][:, index] for index, name in enumerate(EDITS)}
        self._highest = {name: final["highest"][:, index] for index, name in enumerate(AXES)}
        edits = worlds.menu.column("edit")
        self._always_open = (edits < 0) | (not worlds.options.reveal)
        self._edit_bit = np.where(edits < 0, 0, 1 << np.maximum(edits, 0))

    def state(self) -> dict[str, NDArray[Any]]:
        """The present state: lift levels, granted edits (bits), first contact (number), illegal edits."""
        worlds = self.worlds
        return {
            "lift": worlds.lift,
            "granted": worlds.granted,
            "first": worlds.first_contact,
            "illegal": worlds.illegal,
        }

    def final_state(self) -> dict[str, NDArray[Any]]:
        """The same at the end of the episodes that the latest step ended."""
        final = self.worlds.final
        return {
            "lift": final["lift"],
            "granted": final["granted"],
            "first": final["first_contact"],
            "illegal": final["illegal"],
        }

    def latest_step(self) -> dict[str, NDArray[Any]]:
        """What the latest step did: command requested and executed, reasons, contact, edit."""
        worlds = self.worlds
        return {
            "requested": worlds.action,
            "executed": worlds.executed,
            "reasons": worlds.reasons,
            "contact": worlds.contact,
            "edit": worlds.edit,
        }

    def final_mask(self, done: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The action masks at the end of episodes, bool (num_envs, actions); False where none is done."""
        masks = np.zeros((self.worlds.count, len(self._always_open)), np.bool_)
        granted = self.worlds.final["granted"][done]
        masks[done] = self._always_open | ((granted[:, None] & self._edit_bit) != 0)
        return masks

    def episodes(self, done: NDArray[np.bool_]) -> dict[str, Any]:
        """Summaries of the episodes that the latest step ended; entries of other worlds mean nothing.

        `first_contact` by name and `first` by number (of `FIRST_CONTACTS`); `return` undiscounted; `length`
        in ticks, `time` in s; `rewards`: goals reached; `apart_steps`, `apart_rewards`: how many of either
        came while goal and proxy were apart; `edits` used, by name; `illegal_edits`: those without effect;
        `harm` by type in its unit; `highest_lift` by axis; `level`: the number of the level.
        """
        final = self.worlds.final
        names = np.empty(self.worlds.count, object)
        names[done] = _FIRST_CONTACTS[final["first_contact"][done]]
        return {
            "success": final["rewards"] > 0,
            "first_contact": names,
            "first": final["first_contact"],
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
    info: dict[str, Any] = {}
    for name, value in entries.items():
        if isinstance(value, dict):
            info[name] = masked(value, mask, copy)
        else:
            info[name] = value.copy() if copy else value
        info[f"_{name}"] = mask
    return info


def row_of(entries: dict[str, Any], world: int = 0) -> dict[str, Any]:
    """One world's part of entries, as plain numbers and arrays of its own."""
    return {name: _row(value, world) for name, value in entries.items()}


def _row(value: Any, world: int) -> Any:
    if isinstance(value, dict):
        return row_of(value, world)
    if value.ndim > 1:
        return value[world].copy()
    return value[world] if value.dtype == object else value[world].item()
