"""Obstacle courses and tasks as data: the course file, its parser, the catalogue and the solver."""
