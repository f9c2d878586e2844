"""Figures and pages drawn from result rows alone.

Nothing here trains or simulates.
"""
