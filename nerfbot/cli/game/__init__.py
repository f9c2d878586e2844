"""`nerfbot play`: the command, the game's rules of the keyboard, the screen and single keys from a terminal.

The rules of the world itself live in `nerfbot.grid`.
"""
