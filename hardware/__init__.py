"""Servo buses and ROS 2 nodes as plants."""
