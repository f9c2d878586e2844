"""Robots as data (URDF, channels, envelope) and as bodies whose motors enforce limits.

Who drives a robot, and where, lives elsewhere.
"""
