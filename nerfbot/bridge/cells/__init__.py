"""The grid's actions and observations on a robot: cell moves as twists, readings as cells.

It needs no ROS.
"""
