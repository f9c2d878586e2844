"""The nerf layer: what a robot may do and see, declared once (`spec`) and enforced everywhere.

Needs NumPy, pydantic and PyYAML only, so that the same code runs beside a simulator and on a robot.
"""

from nerfbot.limits.actuator import ActuatorLimiter
from nerfbot.limits.channel import AXES, Channel, Limited, Measured, Reason
from nerfbot.limits.enforcement import Enforcement, enforcement, require_enforceable
from nerfbot.limits.envelope import ChannelEnvelope, Envelope
from nerfbot.limits.geometry import ImageGeometry, PlainGeometry, RayGeometry
from nerfbot.limits.sensor import SensorLimiter
from nerfbot.limits.spec import Burst, ChannelNerf, CommandNerf, NerfSpec, SensorNerf
from nerfbot.limits.value import Distribution, Limit

__all__ = [
    "AXES",
    "ActuatorLimiter",
    "Burst",
    "Channel",
    "ChannelEnvelope",
    "ChannelNerf",
    "CommandNerf",
    "Distribution",
    "Enforcement",
    "Envelope",
    "ImageGeometry",
    "Limit",
    "Limited",
    "Measured",
    "NerfSpec",
    "PlainGeometry",
    "RayGeometry",
    "Reason",
    "SensorLimiter",
    "SensorNerf",
    "enforcement",
    "require_enforceable",
]
