"""nerfbot: deliberately impaired robots, simulated and real, whose limits are lifted only under a lease."""

__version__ = "0.1.0"
