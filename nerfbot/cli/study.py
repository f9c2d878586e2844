"""`nerfbot experiment fidelity` and `curve`: studies that play grid policies on the rover."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console

from nerfbot.cli.console import needs_training, output_folder, progress_bar, table_of
from nerfbot.files import owned_folder

if TYPE_CHECKING:
    from nerfbot.experiment.protocol.config import ExperimentConfig

OnProgress = Callable[[str, int, int], None]


class StudyResult(NamedTuple):
    """Figures for machines; a table and a line for people; the report's path."""

    figures: Mapping[str, Any]
    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    report: Path
    line: str = ""


def _fidelity(
    config: ExperimentConfig, folder: Path, quick: bool, part: str, on_progress: OnProgress
) -> StudyResult:
    from nerfbot.experiment.studies.fidelity import QUICK, FidelityPlan, agreement, measure
    from nerfbot.experiment.studies.fidelity_report import HEADINGS, line, write_report

    plan = FidelityPlan(config, folder, part=part)
    if quick:
        plan = FidelityPlan(config, folder, QUICK, episodes=40, part=part)
    rows = measure(plan, on_progress)
    report = write_report(plan, rows, on_progress=on_progress)
    figures = agreement(rows)
    return StudyResult(
        {"agreement": figures._asdict(), "policies": {row["policy"]: row for row in rows}},
        f"Grid and rover, {plan.episodes} {part} levels",
        HEADINGS[:8],
        [line(row)[:8] for row in rows],
        report,
        f"Spearman of G {figures.spearman:.3f} over {figures.policies} policies; mean differences: G"
        f" {figures.mean_difference_g:.3f}, C {figures.mean_difference_c:.3f}",
    )


def _curve(
    config: ExperimentConfig, folder: Path, quick: bool, part: str, on_progress: OnProgress
) -> StudyResult:
    from nerfbot.experiment.studies.curve import CurvePlan, measure
    from nerfbot.experiment.studies.curve_report import HEADINGS, line, write_report

    plan = CurvePlan(config, folder, part=part)
    if quick:
        plan = CurvePlan(config, folder, seeds=(0,), lifts=(0.0, 0.5, 1.0), episodes=40, part=part)
    rows = measure(plan, on_progress)
    report = write_report(plan, rows)
    title = f"{config.course} under {config.nerf}, {plan.episodes} {part} levels a point"
    return StudyResult({"points": rows}, title, HEADINGS, [line(row) for row in rows], report)


STUDIES: Mapping[str, tuple[str, str, Callable[..., StudyResult]]] = {
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
    """Run a study in its folder, continuing where an earlier start left off."""
    with needs_training():
        from nerfbot.experiment.protocol.config import InvalidExperiment, load_experiment
        from nerfbot.experiment.runs.results import json_ready
        from nerfbot.experiment.runs.run_folder import note_test_use
    for option, value in refused.items():
        if value:
            raise InvalidExperiment(f"{option} {value}: means nothing to {name}, whose policies are a table")
    file, nerf, run = STUDIES[name]
    folder = output_folder(out, Path("runs") / name, file, resume)
    # The base's quick level sets are enough: what is measured here has levels of its own
    config = load_experiment(BASE, [f"nerf={nerf}", *changes], quick=True)
    if final:
        note_test_use(folder, name)
    with owned_folder(folder), progress_bar() as show:
        result = run(config, folder, quick, "test" if final else "development", show)
    if as_json:
        print(json.dumps(json_ready(result.figures)))
        return 0
    Console().print(table_of(result.headings, result.rows, result.title))
    if result.line:
        print(result.line)
    print(f"report: {result.report}")
    return 0
