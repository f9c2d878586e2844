"""What joins two floors: the grid's actions and view on a robot, and simulated robots as ROS 2 nodes.

`observing` turns a robot's readings into the grid's observation, `mover` a move into twists, `edits` a row of
the power menu into a world edit; `cells_env` is the rover as an environment with the grid's actions and
observations, and `fit` says whether a saved policy belongs there. The ROS 2 nodes `plant` and `policy` and
their bring-up lie here too.
"""
