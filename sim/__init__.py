"""PyBullet as a plant: the arena built from a course file, the robots, their sensors, the environments."""
