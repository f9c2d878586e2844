"""The scripted demo: three drives through the course gauntlet, with charts, pictures and a report.

Drivers and plant live elsewhere.
"""
