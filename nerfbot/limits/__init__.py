"""The nerf layer: what a robot is allowed to do and to see, declared once and enforced everywhere."""

AXES = ("strength", "speed", "sensing", "reliability")
