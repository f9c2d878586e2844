"""Curricula: who decides which levels the worlds begin their next episodes on.

Each is a hook of the learner that writes the table from which resets draw levels. The base class draws every
level as often as every other, and changes nothing.
"""

from nerfbot.agents.curricula.base import Curriculum
from nerfbot.agents.curricula.edited_worlds import EditedWorldReplay, ReplayConfig, StateRecorder, Yoked
from nerfbot.agents.curricula.level_replay import Accel, LevelReplay
from nerfbot.agents.curricula.mutation import mutated

__all__ = [
    "Accel",
    "Curriculum",
    "EditedWorldReplay",
    "LevelReplay",
    "ReplayConfig",
    "StateRecorder",
    "Yoked",
    "mutated",
]
