"""Films of episodes, and the captions that films and `nerfbot play` show.

They play environments; how a cell is drawn lives in `nerfbot.grid.rendering`.
"""
