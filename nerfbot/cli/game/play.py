"""`nerfbot play`: a course by keyboard in the terminal, nerfed, with powers granted at times."""

from __future__ import annotations

import contextlib
import secrets
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from nerfbot.cli.game.keyboard import check_terminal, keyboard
from nerfbot.cli.options import COURSE, NERF, POWERS, SCHEDULE, TRAINING, environment

RESIZE_PERIOD = 0.25
"""Time between two looks at the terminal's size, s."""


def play(
    course: COURSE = "gauntlet",
    nerf: NERF = "rover-weak",
    powers: POWERS = "all",
    schedule: SCHEDULE = "once",
    destinations: Annotated[
        str, typer.Option(help="How destinations are chosen: cell (a cursor), region (3 x 3 cells), drawn.")
    ] = "cell",
    seed: Annotated[int | None, typer.Option(help="Seed of the episode; default: random.", min=0)] = None,
    training: TRAINING = False,
) -> None:
    """Play a course by keyboard with the agent's view; v shows the whole map, q quits."""
    check_terminal()
    keywords = environment(course, nerf, powers, schedule, destinations=destinations, training=training)
    from nerfbot.cli.game.game import Game
    from nerfbot.cli.game.screen import draw
    from nerfbot.grid.env import GridEnv

    game = Game(GridEnv(**keywords), secrets.randbelow(100_000) if seed is None else seed)
    console = Console()
    size = console.size
    with (
        keyboard() as keys,
        Live(draw(game, *size), console=console, screen=True, auto_refresh=False) as live,
        contextlib.suppress(EOFError),
    ):
        live.refresh()
        going = True
        while going:
            key = keys.key(RESIZE_PERIOD)
            if key is not None:
                going = game.press(key)
            elif console.size == size:
                continue
            size = console.size
            live.update(draw(game, *size), refresh=True)
    moment = game.moment
    console.print(f"{course}, seed {game.seed}: tick {moment.tick}, return {moment.episode_return:.2f}, "
                  f"first contact {moment.first_contact}", highlight=False)  # fmt: skip
