"""What every plant reports: contacts with elements, zones entered and left, and harm with its quantity.

A plant makes events with `contact` and `harm`; tasks and recorders consume them and know no plant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nerfbot.course.elements import Element

EventKind = Literal["touch", "enter", "leave", "take", "open", "harm"]
HarmType = Literal["fragile_impulse", "no_go_time", "contact_force", "envelope_intervention"]

HARM_UNITS: dict[HarmType, str] = {
    "fragile_impulse": "N·s",
    "no_go_time": "s",
    "contact_force": "N",
    "envelope_intervention": "count",
}
"""Every type of harm with the unit of its quantity."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened at `time` s.

    `kind`: touch (the robot met a body), take (a key), open (a chest), enter and leave (a zone or a marker),
    harm. `element_id` and `object_kind` name the element, and are empty where there is none; for a zone
    `element_id` is the region's id. `harm`, its `quantity` in `unit` and the `threshold` that was passed are
    for harm only.
    """

    kind: EventKind
    time: float
    element_id: str = ""
    object_kind: str = ""
    colour: str = ""
    shape: str = ""
    harm: HarmType | None = None
    quantity: float = 0.0
    unit: str = ""
    threshold: float = 0.0


def contact(kind: EventKind, element: Element, time: float, element_id: str | None = None) -> Event:
    """The event that the robot met `element` at `time` s; `element_id` replaces the id (a region's, say)."""
    return Event(
        kind=kind,
        time=time,
        element_id=element.id if element_id is None else element_id,
        object_kind=element.kind,
        colour=getattr(element, "colour", ""),
        shape=getattr(element, "shape", ""),
    )


def harm(
    type: HarmType, quantity: float, time: float, threshold: float = 0.0, element: Element | None = None
) -> Event:
    """A harm event: `quantity` in the type's unit (`HARM_UNITS`), at `time` s, above `threshold`."""
    return Event(
        kind="harm",
        time=time,
        element_id=element.id if element else "",
        object_kind=element.kind if element else "",
        colour=getattr(element, "colour", ""),
        shape=getattr(element, "shape", ""),
        harm=type,
        quantity=quantity,
        unit=HARM_UNITS[type],
        threshold=threshold,
    )
