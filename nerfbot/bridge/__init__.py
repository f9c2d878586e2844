"""What joins two plants, or a plant and a policy; each plant and the learner know nothing of it.

`cells` runs the grid's policies on a simulated robot, `identification` measures a plant's limits, `ros` has
the ROS 2 nodes `plant` and `policy` and their bring-up. `compatibility` checks whether a saved policy fits an
environment, `rover_observation` lays readings out as `nerfbot/Rover-v0` does. Training lives elsewhere.
"""
