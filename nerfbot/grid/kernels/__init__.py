"""Everything that Warp compiles: the state of the worlds, and what a step, a reset and a search do with it.

Building a grid from keywords and showing it to Gymnasium live one folder up.
"""
