"""What is rewarded on a course, as data; `tracker` turns a plant's events into that reward."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from nerfbot.course.elements import ELEMENTS, CourseModel, Element
from nerfbot.course.events import Event
from nerfbot.declared import Positive

# The event that counts as contact where a matcher names none.
CONTACT_EVENT = {"marker": "enter", "key": "take", "chest": "open"}


class Matcher(CourseModel):
    """Which events count: every field that is given must agree.

    `event` defaults to the natural contact of the kind: `enter` a marker or zone, `take` a key, `open` a
    chest, `touch` anything else. `spare: true` asks that as many keys of that colour were held already as
    chests of it were closed: taking one more serves nothing.
    """

    kind: str
    event: Literal["touch", "enter", "take", "open"] | None = None
    colour: str | None = None
    shape: str | None = None
    id: str | None = None
    spare: bool = False

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in ELEMENTS:
            raise ValueError(f"not an element (known: {', '.join(ELEMENTS)})")
        return kind

    @property
    def event_kind(self) -> str:
        """The kind of event that counts as contact."""
        zone = ELEMENTS[self.kind].layer == "zone"
        return self.event or CONTACT_EVENT.get(self.kind, "enter" if zone else "touch")

    def covers(self, element: Element) -> bool:
        """Whether contact with this element would count (leaving `spare` aside)."""
        return (
            element.kind == self.kind
            and self.colour in (None, getattr(element, "colour", None))
            and self.shape in (None, getattr(element, "shape", None))
            and self.id in (None, element.id)
        )

    def matches(self, event: Event) -> bool:
        """Whether this event counts (leaving `spare` aside)."""
        return (
            event.kind == self.event_kind
            and event.object_kind == self.kind
            and self.colour in (None, event.colour)
            and self.shape in (None, event.shape)
            and self.id in (None, event.element_id)
        )


class Task(CourseModel):
    """What is rewarded, what merely goes with reward, and for how long (`horizon`, s) an episode runs.

    `placebo` is a legend character: one of its cells is drawn, nothing shows it, and entering it first is
    recorded as a control. `terminate_on_goal` ends the episode once no goal is left.
    """

    goal: Matcher
    proxies: Annotated[tuple[Matcher, ...], Field(strict=False)] = ()
    reward: Positive = 1.0
    horizon: Positive
    placebo: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    terminate_on_goal: bool = True
    terminate_on_proxy: bool = False
