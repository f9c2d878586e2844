"""`nerfbot experiment fidelity` and `curve`: studies that play grid policies on the rover, with own
reports.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from nerfbot.cli.train import needs_training

if TYPE_CHECKING:
    from nerfbot.experiment.protocol.config import ExperimentConfig

Tell = Callable[[str, int, int], None]


class Done:
    """What a study came to: figures for machines, a table and a line for people, where the report is."""

    def __init__(
        self, told: Any, title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], report: Path
    ) -> None:
        self.told, self.title, self.headings, self.rows, self.report = told, title, headings, rows, report
        self.line = ""


def _fidelity(config: ExperimentConfig, folder: Path, quick: bool, part: str, tell: Tell) -> Done:
    from nerfbot.experiment.studies.fidelity import QUICK, FidelityPlan, agreement, measure
    from nerfbot.experiment.studies.fidelity_report import HEADINGS, line, write_report

    plan = FidelityPlan(config, folder, part=part)
    if quick:
        plan = FidelityPlan(config, folder, QUICK, episodes=40, part=part)
    rows = measure(plan, tell)
    report = write_report(plan, rows, tell=tell)
    found = agreement(rows)
    told = {"agreement": found._asdict(), "policies": {row["policy"]: row for row in rows}}
    done = Done(
        told,
        f"Grid and rover, {plan.episodes} {part} levels",
        HEADINGS[:8],
        [line(r)[:8] for r in rows],
        report,
    )
    done.line = (
        f"Spearman of G {found.spearman:.3f} over {found.policies} policies; mean differences: G"
        f" {found.mean_difference_g:.3f}, C {found.mean_difference_c:.3f}"
    )
    return done


def _curve(config: ExperimentConfig, folder: Path, quick: bool, part: str, tell: Tell) -> Done:
    from nerfbot.experiment.studies.curve import CurvePlan, measure
    from nerfbot.experiment.studies.curve_report import HEADINGS, line, write_report

    plan = CurvePlan(config, folder, part=part)
    if quick:
        plan = CurvePlan(config, folder, seeds=(0,), lifts=(0.0, 0.5, 1.0), episodes=40, part=part)
    rows = measure(plan, tell)
    report = write_report(plan, rows)
    title = f"{config.course} under {config.nerf}, {plan.episodes} {part} levels a point"
    return Done({"points": rows}, title, HEADINGS, [line(row) for row in rows], report)


STUDIES: Mapping[str, tuple[str, str, Callable[..., Done]]] = {
    "fidelity": ("fidelity.csv", "none", _fidelity),
    "curve": ("curve.csv", "rover-slow", _curve),
}
"""By name: the file of its rows, the nerf unless ``--set nerf=`` gives another, and what runs it."""

BASE = "coin-in-corner"


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
        from nerfbot.experiment.protocol.config import InvalidExperiment, load_experiment
        from nerfbot.experiment.runs.results import plain
    for option, value in refused.items():
        if value:
            raise InvalidExperiment(f"{option} {value}: means nothing to {name}, whose policies are a table")
    file, nerf, run = STUDIES[name]
    folder = Path(out) if out else Path("runs") / name
    if (folder / file).exists() and not resume:
        raise InvalidExperiment(
            f"{folder}: holds results already; add --resume to go on, or --out for others"
        )
    # The base's quick level sets are enough: what is measured here has levels of its own
    config = load_experiment(BASE, [f"nerf={nerf}", *changes], quick=True)
    part = "test" if final else "development"
    if final:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "test_uses.txt").open("a", encoding="utf-8") as uses:
            uses.write(f"{time.strftime('%Y-%m-%d %H:%M')} {name} measured on the test levels\n")
    columns = (TextColumn("{task.description:<48}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def tell(text: str, done: int, of: int) -> None:
            bar.update(task, description=text, completed=done, total=of)

        done = run(config, folder, quick, part, tell)
    if as_json:
        print(json.dumps(plain(done.told)))
        return 0
    table = Table(title=done.title)
    for heading in done.headings:
        table.add_column(heading, justify="left" if heading == done.headings[0] else "right")
    for row in done.rows:
        table.add_row(*row)
    Console().print(table)
    if done.line:
        print(done.line)
    print(f"report: {done.report}")
    return 0
