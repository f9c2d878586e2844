"""Pictures, films, text and captions of the grid.

No rule of the grid lives here.
"""
