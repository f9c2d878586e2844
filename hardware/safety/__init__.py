"""Decisions that keep a robot safe, without ROS: permits, supervision, severity, e-stop, command filter.

Topics and serial ports live elsewhere.
"""
