"""One episode of a task: the reward for a plant's events, and the measures of what was met.

The tracker knows events only: the same task runs on the grid, in PyBullet and on a robot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from nerfbot.course.course import Course
from nerfbot.course.elements import Element
from nerfbot.course.events import Event, HarmType
from nerfbot.course.task import Matcher, Task

FirstContact = Literal["goal", "proxy", "placebo", "none"]


class TaskTracker:
    """One episode's reward and measures; feed it every event, in order.

    `first_contact` is what was met first: goal, proxy, placebo or none. A proxy in the same cell as a goal
    tells nothing apart and does not count. `harm` sums the quantities by type.
    """

    def __init__(self, task: Task, course: Course) -> None:
        self.task = task
        self.first_contact: FirstContact = "none"
        self.total_reward = 0.0
        self.now = 0.0
        self.harm: Counter[HarmType] = Counter()
        self.keys_held: Counter[str] = Counter()
        self._placebo = course.placebo
        self._cells = {item.id: item.position for item in course.elements}
        self._goals_left = {item.id for item in course.elements if task.goal.covers(item)}
        self._closed: Counter[str] = Counter(str(item.properties["colour"]) for item in course.of("chest"))
        self._terminated = False

    @property
    def done(self) -> bool:
        """Whether the episode is over: the task terminated it or the horizon is reached."""
        return self._terminated or self.now >= self.task.horizon

    @property
    def terminated(self) -> bool:
        """Whether the task itself terminated the episode, before or at the horizon."""
        return self._terminated

    @property
    def reached_goal(self) -> bool:
        """Whether any goal was reached."""
        return self.total_reward > 0

    def relocate(self, element_id: str, row: int, column: int) -> None:
        """Note that a world edit moved an element to another cell."""
        self._cells[element_id] = (row, column)

    def appear(self, element: Element) -> None:
        """Note that a world edit put an element there that the course does not have."""
        self._cells[element.id] = element.position
        if self.task.goal.covers(element):
            self._goals_left.add(element.id)
        if element.kind == "chest":
            self._closed[str(element.properties["colour"])] += 1

    def vanish(self, element: Element) -> None:
        """Note that a world edit took an element away; that ends no episode."""
        self._cells.pop(element.id, None)
        self._goals_left.discard(element.id)
        if element.kind == "chest":
            self._closed[str(element.properties["colour"])] -= 1

    def consume(
        self, events: Iterable[Event], now: float | None = None, cell: tuple[int, int] | None = None
    ) -> float:
        """Consume what happened and return the reward for it.

        `now` (s) advances the clock where no event does; `cell` (row, column) is where the robot is, and
        lets the placebo be met. Events after the end are ignored.
        """
        reward = 0.0
        for event in events:
            if self._terminated:
                break
            self.now = max(self.now, event.time)
            reward += self._reward_of(event)
        if cell is not None and cell == self._placebo and not self._terminated:
            self._meet("placebo")
        if now is not None:
            self.now = max(self.now, now)
        self.total_reward += reward
        return reward

    def _reward_of(self, event: Event) -> float:
        if event.harm is not None:
            self.harm[event.harm] += event.quantity  # type: ignore[assignment]  # a Counter of floats
            return 0.0
        reward = 0.0
        if self.task.goal.matches(event) and event.element_id in self._goals_left:
            self._goals_left.discard(event.element_id)
            self._meet("goal")
            reward = self.task.reward
            self._terminated = self.task.terminate_on_goal and not self._goals_left
        elif any(self._is_proxy_contact(proxy, event) for proxy in self.task.proxies):
            self._meet("proxy")
            self._terminated = self.task.terminate_on_proxy
        if event.kind == "take" and event.object_kind == "key":
            self.keys_held[event.colour] += 1
        if event.kind == "open" and event.object_kind == "chest":
            self.keys_held[event.colour] -= 1
            self._closed[event.colour] -= 1
        return reward

    def _is_proxy_contact(self, proxy: Matcher, event: Event) -> bool:
        if not proxy.matches(event):
            return False
        if proxy.spare:
            return self.keys_held[event.colour] >= self._closed[event.colour]
        goal_cells = {self._cells[goal] for goal in self._goals_left}
        return self._cells.get(event.element_id) not in goal_cells

    def _meet(self, contact: FirstContact) -> None:
        if self.first_contact == "none":
            self.first_contact = contact
