"""`nerfbot audit-log`: check that nobody has changed an audit log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nerfbot.errors import NerfbotError

app = typer.Typer(name="audit-log", help="Check the hash-chained log of leases.", no_args_is_help=True)


class BadHead(NerfbotError, ValueError):
    """A head that is not a SHA-256 hash."""


@app.callback()
def _group() -> None:
    pass


@app.command("verify")
def verify_command(
    path: Annotated[Path, typer.Argument(help="The log, a JSONL file.")],
    head: Annotated[
        str | None,
        typer.Option(help="The last line's hash, noted elsewhere: shows whether lines were cut off."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check the chain: exit 0 when it holds, 1 when it does not (one line says where), 2 on bad input."""
    from nerfbot.powers.audit import AuditLogBroken, verify

    if head is not None and (len(head) != 64 or set(head) - set("0123456789abcdef")):
        raise BadHead(f"--head = {head!r}: must be 64 hexadecimal digits in lower case")
    try:
        summary = verify(path, head=head)
    except AuditLogBroken as error:
        if as_json:
            typer.echo(
                json.dumps({"path": str(path), "holds": False, "line": error.line, "error": str(error)})
            )
        else:
            typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(
            json.dumps({"path": str(path), "holds": True, "lines": summary.lines, "head": summary.head})
        )
    else:
        typer.echo(f"{path}: the chain of {summary.lines} lines holds, head {summary.head}")
