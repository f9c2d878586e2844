"""Commands for servo buses: `nerfbot servo ...`, `nerfbot hil run` and the register part of `nerf check`.

The bus, the driver and the campaign themselves live in `nerfbot.hardware`.
"""
