"""Measures a plant's effective limits: test commands, their arithmetic, and one probe per kind of plant.

Declared limits live in `nerfbot.limits`; the command is `nerfbot nerf measure`.
"""
