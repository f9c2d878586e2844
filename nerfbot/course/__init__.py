"""Obstacle courses and tasks as data: the course file, its parser, the catalogue and the solver.

Plants build courses and report events; how they do so lives with each plant.
"""

from nerfbot.course.course import Course, Pose, Region, Waypoint
from nerfbot.course.elements import ELEMENTS, Element
from nerfbot.course.events import HARM_UNITS, Event, contact, harm
from nerfbot.course.parser import catalogue, load_course, load_plan, parse
from nerfbot.course.plan import CoursePlan
from nerfbot.course.task import Task
from nerfbot.course.tracker import TaskTracker

__all__ = [
    "ELEMENTS",
    "HARM_UNITS",
    "Course",
    "CoursePlan",
    "Element",
    "Event",
    "Pose",
    "Region",
    "Task",
    "TaskTracker",
    "Waypoint",
    "catalogue",
    "contact",
    "harm",
    "load_course",
    "load_plan",
    "parse",
]
