"""Scripted drivers, whole episodes that they drive, and the check that a robot's nerf has an effect.

Nothing here learns.
"""
