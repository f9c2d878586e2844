"""`nerfbot play`: a course by keyboard in the terminal, nerfed, with powers that come and go."""

from __future__ import annotations

import contextlib
import secrets
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from nerfbot.cli.grid_options import POWERS, SCHEDULE, environment
from nerfbot.cli.keyboard import check_terminal, keyboard

GLANCE = 0.25
"""s after which the terminal's size is looked at again."""


def play(
    course: Annotated[str, typer.Argument(help="A catalogue name or a course file.")] = "gauntlet",
    nerf: Annotated[str, typer.Option(help="A preset or a file: what is impaired.")] = "rover-weak",
    powers: str = POWERS,
    schedule: str = SCHEDULE,
    destinations: Annotated[
        str, typer.Option(help="How destinations are chosen: cell (a cursor), region (3 x 3 cells), drawn.")
    ] = "cell",
    seed: Annotated[int | None, typer.Option(help="Of the episode; by chance without.", min=0)] = None,
    training: Annotated[
        bool, typer.Option("--training/--test", help="Levels as in training or tests.")
    ] = False,
) -> None:
    """Play a course by keyboard. You see what the agent sees; v shows the whole map, q quits."""
    check_terminal()
    keywords = environment(course, nerf, powers, schedule, destinations=destinations, training=training)
    from nerfbot.cli.game import Game
    from nerfbot.cli.screen import draw
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
            key = keys.key(GLANCE)
            if key is not None:
                going = game.press(key)
            elif console.size == size:
                continue
            size = console.size
            live.update(draw(game, *size), refresh=True)
    moment = game.moment
    console.print(f"{course}, seed {game.seed}: tick {moment.tick}, return {moment.total:.2f}, "
                  f"first contact {moment.first}", highlight=False)  # fmt: skip
