"""What joins two floors: simulated robots and saved policies as ROS 2 nodes, and their bring-up."""
