"""A bring-up of ROS 2 processes, and the nodes plant and policy.

The nodes of the safety path live in nerfbot.hardware.ros.
"""
