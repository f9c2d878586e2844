"""Measuring a plant's real limits: commands that reveal them, and one probe for each kind of plant.

Declaring limits lives in nerfbot.limits.
"""
