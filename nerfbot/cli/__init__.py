"""The command line, `nerfbot --help`. One file a command group; this one joins them and reports errors."""

from __future__ import annotations

import sys

import typer

from nerfbot.errors import NerfbotError

app = typer.Typer(
    name="nerfbot",
    help="Nerf a robot, lift the nerf under a lease, and measure both.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _join_groups() -> None:
    """Attach every command group; groups import their heavy parts only when called."""


@app.callback()
def _options(debug: bool = typer.Option(False, "--debug", help="Show a traceback on an error.")) -> None:
    pass


def main(arguments: list[str] | None = None) -> int:
    """Run one command and exit: 0 done, 1 a check failed, 2 bad input (one line on stderr)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _join_groups()
    try:
        app(args=arguments)
    except NerfbotError as error:
        if "--debug" in arguments:
            raise
        print(f"nerfbot: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    return 0
