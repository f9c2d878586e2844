"""The Gymnasium environments of the simulated robots.

Physics and sensors live in the plant.
"""
