"""`nerfbot lift grant|revoke|status` and `nerfbot estop`: the operator's commands at a terminal."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Annotated, Any

import typer

from nerfbot.cli.supervisor import ROBOT, client, robots
from nerfbot.errors import InvalidCommand, NerfbotError
from nerfbot.hardware.safety.registry import Robot
from nerfbot.hardware.safety.requests import SupervisorClient
from nerfbot.limits import AXES

app = typer.Typer(name="lift", help="Leases on a running robot, by its supervisor.", no_args_is_help=True)

JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
REASON = Annotated[str, typer.Option(help="Why, for the audit log.")]

REST_WITHIN = 3.0
"""s within which a stopped robot must be commanded to rest."""


@app.callback()
def _group() -> None:
    pass


@app.command()
def grant(
    axes: Annotated[list[str], typer.Argument(help="Axes to lift, each as axis or axis=level.")],
    reason: REASON,
    duration: Annotated[float, typer.Option(help="Seconds.")] = 5.0,
    ramp: Annotated[float, typer.Option(help="Seconds up, and down again.")] = 0.5,
    robot: ROBOT = None,
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
    with client(robot) as supervisor:
        answer = supervisor.request("grant", axes=levels, duration=duration, ramp=ramp, reason=reason)
    outcome = f"lease {answer.get('lease')} granted" if answer["ok"] else f"refused: {answer['reason']}"
    _print(answer, f"{outcome}{': ' + answer['detail'] if answer['detail'] else ''}", as_json)


@app.command()
def revoke(reason: REASON = "operator", robot: ROBOT = None, as_json: JSON = False) -> None:
    """End every lease at once."""
    with client(robot) as supervisor:
        answer = supervisor.request("revoke", reason=reason)
    _print(answer, f"{answer['revoked']} revoked", as_json)


@app.command()
def status(robot: ROBOT = None, as_json: JSON = False) -> None:
    """Print lift, leases, permit, conditions and position."""
    with client(robot) as supervisor:
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
def origin(reason: REASON = "operator", robot: ROBOT = None, as_json: JSON = False) -> None:
    """Declare that the robot is on the course's start now."""
    with client(robot) as supervisor:
        answer = supervisor.request("origin", reason=reason)
    _print(answer, answer["detail"] or "the origin is set", as_json)


@app.command()
def backstop(reason: REASON = "operator", robot: ROBOT = None, as_json: JSON = False) -> None:
    """Probe the robot's own time-out: the gate falls silent for a second while the robot drives slowly.

    A robot that does not rest by itself is granted no lift.
    """
    with client(robot) as supervisor:
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
    clear: Annotated[bool, typer.Option("--clear", help="Clear one robot's latch instead.")] = False,
    robot: ROBOT = None,
    as_json: JSON = False,
) -> None:
    """Stop all robots on this machine and latch; with --clear, let one move again if its cause is gone.

    Exit 0 where every robot confirmed, 1 where one did not.
    """
    if clear:
        with client(robot) as supervisor:
            answer = supervisor.request("clear-estop", reason=reason)
        answers = [{**answer, "name": robot or "", "detail": answer.get("detail") or "cleared"}]
    else:
        answers = stop_all(robots(robot), reason)
    ok = all(answer["ok"] for answer in answers)
    if as_json:
        typer.echo(json.dumps({"ok": ok, "robots": answers}))
    else:
        for answer in answers:
            name = f"{answer['name']}: " if answer["name"] else ""
            typer.echo(f"{name}{answer['detail']}", err=not answer["ok"])
    if not ok:
        raise typer.Exit(1)


def stop_all(found: list[Robot], reason: str) -> list[dict[str, Any]]:
    """Ask every robot to stop, then wait for each one's confirmation: name, socket, ok, detail."""
    answers: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        clients = []
        for robot in found:  # nobody waits for another robot's answer
            supervisor = stack.enter_context(SupervisorClient(robot.socket))
            clients.append((supervisor, supervisor.send("estop", reason=reason)))
        until = time.monotonic() + REST_WITHIN
        for robot, (supervisor, sent) in zip(found, clients, strict=True):
            try:
                if sent:
                    supervisor.answer()
                ok, detail = _confirm(supervisor, until)
            except NerfbotError as error:
                ok, detail = False, f"NOT CONFIRMED: {error}"
            answers.append({"name": robot.name, "socket": str(robot.socket), "ok": ok, "detail": detail})
    return answers


def _confirm(supervisor: SupervisorClient, until: float) -> tuple[bool, str]:
    """Whether the robot has latched, and the gate commands rest by then (s, monotonic), and what was seen."""
    while True:
        status = supervisor.request("status")
        rest = status["commanded"]
        if status["estop"] and rest in ("rest", "nothing yet"):
            return True, f"stopped and latched ({status['estop']}), commanded: {rest}"
        if time.monotonic() >= until:
            state = "latched" if status["estop"] else "not latched"
            return False, f"NOT CONFIRMED: {state}, commanded: {rest}"
        time.sleep(0.05)


def _print(answer: dict[str, Any], text: str, as_json: bool) -> None:
    typer.echo(json.dumps(answer) if as_json else text, err=not (answer["ok"] or as_json))
    if not answer["ok"]:
        raise typer.Exit(1)
