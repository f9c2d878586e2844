"""What an experiment is: arms, configuration, measures, statistics, evaluation.

Nothing here trains or draws.
"""
