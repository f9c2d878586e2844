"""A robot on a course, bare or behind the nerf layer: sensors, events, world edits, pictures.

Gymnasium's interface and scripted drivers live elsewhere.
"""
