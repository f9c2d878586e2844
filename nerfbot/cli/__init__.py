"""The command line, `nerfbot --help`. One file a command group; this one joins them and reports errors."""

from __future__ import annotations

import functools
import sys

import typer

from nerfbot import __version__
from nerfbot.declared import printable
from nerfbot.errors import NerfbotError

app = typer.Typer(
    name="nerfbot",
    help="Nerf a robot, lift the nerf under a lease, and measure both.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Typer has a copy of click of its own or uses the installed one; its public classes lead to either.
UsageProblem: type[Exception] = typer.BadParameter.__mro__[2]


@functools.cache
def _join_groups() -> None:
    """Attach every command group; a group imports its heavy parts only when called."""
    from nerfbot.cli import (
        audit_log,
        bench,
        bodies,
        bringup,
        course,
        demo,
        experiment,
        from_urdf,
        lift,
        measure,
        nerf,
        train,
        watch,
    )
    from nerfbot.cli.game import play
    from nerfbot.cli.servo import commands, hil

    app.command("demo")(demo.demo)
    app.command("bench")(bench.bench)
    app.command("bodies")(bodies.bodies)
    app.command("experiment")(experiment.experiment)
    app.command("train")(train.train)
    app.command("evaluate")(train.evaluate)
    app.command("play")(play.play)
    app.command("bringup")(bringup.bringup)
    nerf.app.command("measure")(measure.measure)
    nerf.app.command("from-urdf")(from_urdf.from_urdf)
    app.command("estop")(lift.estop)
    app.command("watch")(watch.watch)
    for group in (nerf, course, audit_log, lift, commands, hil):
        app.add_typer(group.app)


def _print_version(requested: bool) -> None:
    if requested:
        print(f"nerfbot {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show a traceback on an error."),
) -> None:
    pass


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 a check failed, 2 bad input (one line on stderr).

    `--debug` may stand anywhere and shows an error as a traceback.
    """
    words = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in words
    try:
        _join_groups()
        code = app(args=[word for word in words if word != "--debug"], standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        print("nerfbot: interrupted", file=sys.stderr)
        return 130
    except (NerfbotError, UsageProblem) as error:
        if debug:
            raise
        text = _one_line(error)
        if text:  # empty where a group without a command has printed its help
            print(f"nerfbot: {text}", file=sys.stderr)
        return 2
    return code if isinstance(code, int) else 0


def _one_line(error: Exception) -> str:
    """The error's text; a usage error names its parameter."""
    message = getattr(error, "format_message", None)
    text = str(error) if message is None else str(message())
    return printable(" ".join(text.split()))
