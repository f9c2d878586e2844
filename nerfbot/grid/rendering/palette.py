"""The colours of pictures and maps."""

from __future__ import annotations

from nerfbot.grid.rendering.canvas import Ink
from nerfbot.limits import AXES

PALETTE: dict[str, Ink] = {
    "red": (219, 41, 41),
    "green": (51, 173, 77),
    "blue": (41, 97, 224),
    "purple": (143, 66, 199),
    "yellow": (255, 204, 20),
    "grey": (140, 145, 153),
    "orange": (245, 133, 26),
    "cyan": (38, 194, 219),
    "white": (245, 245, 240),
    "brown": (148, 97, 56),
    "pink": (245, 128, 184),
    "black": (46, 48, 56),
    "lime": (166, 224, 51),
    "navy": (31, 51, 128),
    "olive": (128, 133, 41),
}
"""The colours of a course, the same as on the robots' plant."""

AXIS_INK: dict[str, Ink] = dict(
    zip(AXES, ((228, 87, 46), (224, 161, 0), (42, 157, 143), (123, 108, 246)), strict=True)
)
"""A colour for each axis, as in the demo's charts."""

FLOOR_INK: tuple[Ink, Ink] = ((226, 226, 218), (214, 214, 206))
WALL_INK, COPING, WALL_FACE = (117, 133, 153), (150, 166, 187), (84, 96, 114)
GATE_INK, GATE_BAND = (237, 92, 51), (247, 240, 224)
UNSEEN_INK: tuple[Ink, Ink] = ((30, 37, 48), (38, 46, 58))
ROBOT_INK, EYES, RING = (32, 39, 51), (120, 226, 255), (255, 214, 51)
RED, VIOLET, MINT, MIST = (214, 48, 49), (126, 74, 214), (13, 148, 98), (196, 211, 226)
