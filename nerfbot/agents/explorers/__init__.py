"""Explorers, who act while a power is granted, their trials, and the signals that score them.

The policy and its update live one folder up.
"""
