"""What joins two floors: skills that carry out the grid's actions on a robot, and the grid's view of it.

`observing` turns a robot's readings into the grid's observation, `mover` a move into twists, `edits` a row of
the power menu into a world edit; `cells_env` is the rover as an environment with the grid's actions and
observations, and `fit` says whether a saved policy belongs there.
"""
