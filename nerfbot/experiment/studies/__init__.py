"""Studies that play one policy on both plants: fidelity, the capability curve, films.

The arms of an experiment live in runs.
"""
