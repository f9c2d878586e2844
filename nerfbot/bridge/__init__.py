"""What joins two floors: the grid's actions and view on a robot, and simulated robots as ROS 2 nodes.

`grid_observation` turns a robot's readings into the grid's observation, `rover_observation` into that of
`nerfbot/Rover-v0`; `mover` turns a move into twists, `edits` a row of the power menu into a world edit;
`cells_env` is the rover as an environment with the grid's actions and observations, and `fit` says whether a
saved policy belongs there. The ROS 2 nodes `plant` and `policy` and their bring-up lie here too.
"""
