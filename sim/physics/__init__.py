"""The PyBullet client and the bodies of a course: arena, geometry, appearance, fog.

No robot and no reward lives here.
"""
