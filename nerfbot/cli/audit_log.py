"""`nerfbot audit-log`: check that nobody has changed an audit log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nerfbot.cli.options import JSON
from nerfbot.errors import InvalidCommand

app = typer.Typer(name="audit-log", help="Check the hash-chained log of leases.", no_args_is_help=True)


@app.command("verify")
def verify_log(
    path: Annotated[Path, typer.Argument(help="The log, a JSONL file.")],
    head: Annotated[
        str | None,
        typer.Option(help="The last line's hash, noted elsewhere; reveals lines cut off at the end."),
    ] = None,
    as_json: JSON = False,
) -> None:
    """Check the chain: exit 0 where it holds, 1 where it does not (one line says where), 2 on bad input."""
    from nerfbot.powers.audit import AuditLogBroken, verify

    if head is not None and (len(head) != 64 or set(head) - set("0123456789abcdef")):
        raise InvalidCommand(f"--head = {head!r}: must be 64 hexadecimal digits in lower case")
    try:
        summary = verify(path, head=head)
    except AuditLogBroken as error:
        report = {"path": str(path), "holds": False, "line": error.line, "error": str(error)}
        typer.echo(json.dumps(report) if as_json else str(error), err=not as_json)
        raise typer.Exit(1) from None
    report = {"path": str(path), "holds": True, "lines": summary.lines, "head": summary.head}
    text = f"{path}: the chain of {summary.lines} lines holds, head {summary.head}"
    typer.echo(json.dumps(report) if as_json else text)
