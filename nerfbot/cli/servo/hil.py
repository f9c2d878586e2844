"""`nerfbot hil run`: the fault campaign on emulated or real servos."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from nerfbot.cli.options import JSON
from nerfbot.cli.servo.confirmation import YES, confirm, expected_motion
from nerfbot.cli.servo.register_check import EMULATOR
from nerfbot.errors import InvalidCommand

app = typer.Typer(
    name="hil", help="Hardware in the loop: inject faults and check every stop.", no_args_is_help=True
)


@app.command("run")
def run(
    port: Annotated[
        str, typer.Option(help="`emulator`, where every fault is possible, or a real bus: /dev/ttyUSB0.")
    ] = EMULATOR,
    robot: Annotated[str, typer.Option(help="A robot on a servo bus, by name or YAML file.")] = "so101",
    nerf: Annotated[str | None, typer.Option(help="The nerf to lift; default: ROBOT-weak.")] = None,
    trials: Annotated[int, typer.Option(help="Number of trials.")] = 2080,
    seed: Annotated[int, typer.Option(help="Seed of the order, servos and values.")] = 0,
    workers: Annotated[int, typer.Option(help="Rigs at once; a real bus has one.")] = 3,
    fault: Annotated[list[str] | None, typer.Option(help="Only this fault; may be repeated.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of report.html, junit.xml and trials.jsonl.")] = Path(
        "runs/hil"
    ),
    margin: Annotated[
        float, typer.Option(help="Slack of an answer beyond its transmission time, s.")
    ] = 0.004,
    calibration: Annotated[
        Path | None, typer.Option(help="A real arm's calibration, in LeRobot's format.")
    ] = None,
    yes: YES = False,
    as_json: JSON = False,
) -> None:
    """Inject every fault in every situation, and check the log of register writes.

    A real bus leaves out the faults of the servos themselves, and the arm stays close to its present pose.
    Exit 0: every register stayed within the envelope and no stop was missed; 1: otherwise.
    """
    from nerfbot.hardware.hil import campaign, report

    if workers < 1:
        raise InvalidCommand(f"--workers = {workers}: must be at least 1")
    is_real = port != EMULATOR
    if calibration is not None and not is_real:
        raise InvalidCommand(f"--calibration {calibration}: is for a real arm; emulated ones are calibrated")
    rows = campaign.plan_trials(trials, seed, fault or [], is_real)
    spec = nerf or f"{Path(robot).stem}-weak"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with contextlib.ExitStack() as stack:
        description = robot
        if is_real:
            description, workers = stack.enter_context(_real_arm(port, robot, spec, calibration, out, yes)), 1
        bar = stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
        task = bar.add_task(f"hil {robot}", total=len(rows))

        def report_progress(count: int) -> None:
            bar.update(task, completed=count)

        done, seconds = campaign.run_trials(
            description, spec, rows, workers, margin, report_progress, port if is_real else ""
        )
    figures = dataclasses.replace(campaign.summarise(description, done, seconds), robot=robot)
    out.mkdir(parents=True, exist_ok=True)
    report.write_html(figures, out / "report.html")
    report.write_junit(figures, done, out / "junit.xml")
    (out / "trials.jsonl").write_text("".join(json.dumps(row) + "\n" for row in done))
    if as_json:
        print(json.dumps(figures.as_json()))
    else:
        _print(figures, out)
    raise typer.Exit(1 if figures.problems else 0)


@contextlib.contextmanager
def _real_arm(
    port: str, robot: str, spec: str, calibration: Path | None, out: Path, yes: bool
) -> Iterator[str]:
    """Ask whether a real arm may move, and yield a robot file that limits it to around its present pose.

    Afterwards its servos' EEPROM holds its own envelope again.
    """
    import yaml

    from nerfbot.hardware.driver.setup import open_bus, set_up
    from nerfbot.hardware.hil.safe_envelope import resting_positions, with_safe_envelope
    from nerfbot.hardware.lerobot import calibrated
    from nerfbot.hardware.robot import ServoRobot
    from nerfbot.limits import NerfSpec

    description = ServoRobot.load(robot)
    if calibration is not None:
        description = calibrated(description, calibration)
    nerf = NerfSpec.load(spec)
    with contextlib.closing(open_bus(description, port)) as bus:
        near = with_safe_envelope(description, nerf, resting_positions(description, bus))
    confirm(
        port,
        f"{expected_motion(near, nerf)}\nFaults are injected on its bus and in its programs, and after some"
        " of them torque goes off: put the arm where it stays by itself.",
        yes,
    )
    out.mkdir(parents=True, exist_ok=True)
    file = out / "robot.yaml"
    file.write_text(yaml.safe_dump(near.model_dump(mode="json", exclude_none=True), sort_keys=False))
    try:
        yield str(file)
    finally:
        with contextlib.closing(open_bus(description, port)) as bus:
            set_up(bus, description)


def _print(figures, out) -> None:  # type: ignore[no-untyped-def] # imported only when it runs
    table = Table(title=f"hil {figures.robot}")
    headings = ("fault", "trials", "violations", "missed", "p50", "p99", "max", "caught by", "95 % bound")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("fault", "caught by") else "right")
    for item in [*figures.faults, figures.pooled]:
        cycles = ["-" if v is None else f"{v / figures.period:.1f}" for v in (item.p50, item.p99, item.most)]
        counts = [str(item.trials), str(item.violations), str(item.missed)]
        table.add_row(item.name, *counts, *cycles, item.guards, f"{item.bound:.3g}")
    console = Console()
    console.print(table)
    console.print(
        f"stop latency p99 of what the driver sees: {figures.stop_p99_writes} bus cycles in the log,"
        f" {figures.stop_p99_cycles} by the clock; a bare timer's: {figures.timer_p99_cycles};"
        f" {figures.seconds:g} s; report: {out / 'report.html'}"
    )
    for row in figures.problems[:20]:
        text = "; ".join([*row["violations"], row["missed"]]).strip("; ")
        console.print(f"[red]{row['fault']}, {row['situation']}, seed {row['seed']}: {text}")
