"""The grid: the courses as a batched gridworld, the fast proxy of the robots. Needs the extra `grid`."""
