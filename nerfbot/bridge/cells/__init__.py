"""The grid's actions and observations on a simulated robot: moves as twists, readings as cells.

It needs no ROS 2; `nerfbot/Rover-v0`, whose actions are twists, lives in `nerfbot.sim`.
"""
