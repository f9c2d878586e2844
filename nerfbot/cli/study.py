"""`nerfbot experiment fidelity`: studies that play grid policies on the rover, with their own rows and
reports.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from nerfbot.cli.train import needs_training

STUDIES = ("fidelity",)


def run_study(
    name: str,
    quick: bool,
    resume: bool,
    final: bool,
    out: str,
    changes: list[str],
    as_json: bool,
    refused: Mapping[str, Any],
) -> int:
    """Run a study in its folder, going on where an earlier start left off."""
    with needs_training():
        from nerfbot.experiment.config import InvalidExperiment, load_experiment
        from nerfbot.experiment.fidelity import BASE, FILE, QUICK, FidelityPlan, agreement, measure
        from nerfbot.experiment.fidelity_report import line, write_report
        from nerfbot.experiment.results import plain
    for option, value in refused.items():
        if value:
            raise InvalidExperiment(f"{option} {value}: means nothing to {name}, whose family is fixed")
    folder = Path(out) if out else Path("runs") / name
    if (folder / FILE).exists() and not resume:
        raise InvalidExperiment(
            f"{folder}: holds results already; add --resume to go on, or --out for others"
        )
    # The base's quick levels are enough: its own test and development sets are not what is measured
    config = load_experiment(BASE, changes, quick=True)
    part = "test" if final else "development"
    plan = FidelityPlan(config, folder, part=part)
    if quick:
        plan = FidelityPlan(config, folder, QUICK, episodes=40, part=part)
    if final:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "test_uses.txt").open("a", encoding="utf-8") as uses:
            uses.write(f"{time.strftime('%Y-%m-%d %H:%M')} {name} measured on the test levels\n")
    console = Console(stderr=as_json)
    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def tell(text: str, done: int, of: int) -> None:
            bar.update(task, description=text, completed=done, total=of)

        rows = measure(plan, tell)
        report = write_report(plan, rows, tell=tell)
    found = agreement(rows)
    if as_json:
        kept = {row["policy"]: {key: row[key] for key in row if key != "policy"} for row in rows}
        print(json.dumps(plain({"agreement": found._asdict(), "policies": kept})))
        return 0
    table = Table(title=f"Grid and rover, {plan.episodes} {part} levels each")
    for heading in (
        "policy",
        "C grid",
        "C rover",
        "G grid",
        "G rover",
        "G differs",
        "goal rate grid",
        "rover",
    ):
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for row in rows:
        table.add_row(*line(row)[:8])
    console.print(table)
    console.print(
        f"Spearman of G {found.spearman:.3f} over {found.policies} policies; mean differences: G"
        f" {found.mean_difference_g:.3f}, C {found.mean_difference_c:.3f}"
    )
    console.print(f"report: {report}")
    return 0
