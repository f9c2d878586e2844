"""`nerfbot lift grant|revoke|status` and `nerfbot estop`: the operator's commands at a terminal."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer

from nerfbot.cli.supervisor import RUN, client
from nerfbot.errors import InvalidCommand
from nerfbot.limits import AXES

app = typer.Typer(name="lift", help="Leases on a running robot, by its supervisor.", no_args_is_help=True)

JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
REASON = Annotated[str, typer.Option(help="Why, for the audit log.")]


@app.callback()
def _group() -> None:
    pass


@app.command()
def grant(
    axes: Annotated[list[str], typer.Argument(help="Axes to lift, each as axis or axis=level.")],
    reason: REASON,
    duration: Annotated[float, typer.Option(help="Seconds.")] = 5.0,
    ramp: Annotated[float, typer.Option(help="Seconds up, and down again.")] = 0.5,
    run: RUN = None,
    as_json: JSON = False,
) -> None:
    """Request a lease: exit 0 where it is granted, 1 where it is refused."""
    levels: dict[str, float] = {}
    for text in axes:
        axis, mark, level = text.partition("=")
        if axis not in AXES:
            raise InvalidCommand(f"axis {axis!r}: must be one of {', '.join(AXES)}")
        try:
            levels[axis] = float(level) if mark else 1.0
        except ValueError:
            raise InvalidCommand(f"{axis} = {level!r}: must be a level from 0 to 1") from None
    with client(run) as supervisor:
        answer = supervisor.request("grant", axes=levels, duration=duration, ramp=ramp, reason=reason)
    outcome = f"lease {answer.get('lease')} granted" if answer["ok"] else f"refused: {answer['reason']}"
    _print(answer, f"{outcome}{': ' + answer['detail'] if answer['detail'] else ''}", as_json)


@app.command()
def revoke(reason: REASON = "operator", run: RUN = None, as_json: JSON = False) -> None:
    """End every lease at once."""
    with client(run) as supervisor:
        answer = supervisor.request("revoke", reason=reason)
    _print(answer, f"{answer['revoked']} revoked", as_json)


@app.command()
def status(run: RUN = None, as_json: JSON = False) -> None:
    """Print lift, leases, permit, conditions and position."""
    with client(run) as supervisor:
        answer = supervisor.request("status")
    lift = ", ".join(f"{axis} {level:.2f}" for axis, level in answer["lift"].items())
    leases = "; ".join(f"{item['id']}: {item['left']:.1f} s left" for item in answer["leases"]) or "none"
    lines = [
        f"lift      {lift}",
        f"leases    {leases}",
        f"permit    {answer['stop'] or 'given'}",
        f"e-stop    {answer['estop'] or 'not latched'}",
        f"position  {answer['position'] or answer['position_problem']}",
    ]
    _print(answer, "\n".join(lines), as_json)


@app.command()
def origin(reason: REASON = "operator", run: RUN = None, as_json: JSON = False) -> None:
    """Declare that the robot is on the course's start now."""
    with client(run) as supervisor:
        answer = supervisor.request("origin", reason=reason)
    _print(answer, answer["detail"] or "the origin is set", as_json)


@app.command()
def backstop(reason: REASON = "operator", run: RUN = None, as_json: JSON = False) -> None:
    """Probe the robot's own time-out: the gate falls silent for a second while the robot drives slowly.

    A robot that does not rest by itself is granted no lift.
    """
    with client(run) as supervisor:
        answer = supervisor.request("backstop", reason=reason)
        until = time.monotonic() + 3.0
        while answer["ok"] and time.monotonic() < until:
            time.sleep(0.1)
            evidence = supervisor.request("status")["backstop"]
            if evidence:
                answer["detail"] = evidence
                break
        else:
            if answer["ok"]:
                answer |= {"ok": False, "detail": "the robot did not stop when the gate fell silent"}
    _print(answer, answer["detail"], as_json)


def estop(
    reason: REASON = "operator",
    clear: Annotated[bool, typer.Option("--clear", help="Clear the latch instead.")] = False,
    run: RUN = None,
    as_json: JSON = False,
) -> None:
    """Stop the robot and latch; with --clear, let it move again if the cause is gone and it is at rest."""
    with client(run) as supervisor:
        answer = supervisor.request("clear-estop" if clear else "estop", reason=reason)
    text = answer.get("detail") or ("cleared" if clear else "stopped and latched")
    _print(answer, text, as_json)


def _print(answer: dict[str, Any], text: str, as_json: bool) -> None:
    typer.echo(json.dumps(answer) if as_json else text, err=not (answer["ok"] or as_json))
    if not answer["ok"]:
        raise typer.Exit(1)
