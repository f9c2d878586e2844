"""Training runs, their folders and result rows, and the scheduler that works through arms and seeds.

Pictures and pages live in analysis.
"""
