"""Pictures and text of the grid's cells.

No rule of the grid lives here, and nothing plays an episode: films do, in `nerfbot.grid.filming`.
"""
