"""The experiment: arms, protocol, measures, statistics, pictures. Needs the extras `grid` and `train`."""
