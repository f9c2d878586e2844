"""The ROS 2 nodes, one file each, with their parameters and messages.

What they decide lives in safety, which needs no ROS.
"""
