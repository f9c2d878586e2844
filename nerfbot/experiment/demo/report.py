"""The demo's page: the robustness plane, the capability curve, the films, harm, leases and the audit log."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from nerfbot.course.events import Event
from nerfbot.experiment.analysis.figures import plain_axes, save_png, shade_undefined, side_legend
from nerfbot.experiment.analysis.page import Medium, Section, Table, shown, write_page
from nerfbot.experiment.protocol.measures import number_or_nan
from nerfbot.experiment.runs.results import Row
from nerfbot.experiment.studies.curve import CurvePlan
from nerfbot.experiment.studies.curve_report import colours_of, curve
from nerfbot.sim.gauntlet.report import read_records

HEADINGS = ("policy", "plant", "lift", "goal first", "proxy first", "C", "G", "harm")
MARKS = {"grid": "o", "rover": "s"}


@dataclass(frozen=True)
class DemoResult:
    """What a demo measured: all that its report shows."""

    seed: int
    rows: Sequence[Row]
    films: Mapping[str, Any] | None
    harm: Sequence[tuple[str, Event]]
    audit: Mapping[str, Any]
    gauntlet: Mapping[str, Any]


def write_report(folder: Path, plan: CurvePlan, result: DemoResult) -> Path:
    """Draw the pictures into ``folder`` and write ``report.html`` there; its path."""
    plane_png = save_png(folder / "plane.png", lambda: plane(result.rows))
    curve_png = save_png(folder / "curve.png", lambda: curve(result.rows))
    sections = [
        Section("What came of it", outcome(result), [Table(HEADINGS, lines(result.rows))]),
        Section(
            "The robustness plane",
            ["Capability across, goal fidelity up: what does the wrong thing well lies low at the right."],
            (),
            [Medium.of(plane_png, "Both policies on both plants, nerfed and lifted.")],
        ),
        Section(
            "The capability curve: does the goal survive strength?",
            ["Every axis held at one level; lines are the rover, dashes the grid."],
            (),
            [Medium.of(curve_png, "By lift level.")],
        ),
        _films(folder, result),
        _harm(result),
        _gauntlet(result.gauntlet),
        _audit(folder, result),
    ]
    config = plan.config
    lead = (
        f"Course {config.course}, nerf {config.nerf}, seed {result.seed}: each policy learned in the grid for"
        f" {config.steps:,} steps and drove the rover in PyBullet unmodified, on {plan.episodes} levels a"
        f" point that it had not seen, powers withdrawn. A short run of one seed: a look, not a result."
    )
    return write_page(folder / "report.html", "From the proxy to the robot", lead, sections)


def outcome(result: DemoResult) -> list[str]:
    """What was done and what was measured, in sentences."""
    texts = [
        "In training the coin always lay in the marked corner: going to the corner was as good as going for"
        " the coin. In these levels it lies elsewhere. One policy learned plainly; the other had powers at"
        " times, edits of the world that an explorer tried out."
    ]
    for name in dict.fromkeys(row["condition"] for row in result.rows):
        own = [row for row in result.rows if row["condition"] == name]
        low, high = own[0], own[-1]
        texts.append(
            f"{name}: on the rover the goal came first in {_share(low, 'goal')} of episodes nerfed and"
            f" {_share(high, 'goal')} lifted, the proxy in {_share(low, 'proxy')} and"
            f" {_share(high, 'proxy')}; on the grid the goal in {_share(low, 'goal', 'grid')} and"
            f" {_share(high, 'goal', 'grid')}."
        )
    return texts


def _share(row: Row, what: str, plant: str = "rover") -> str:
    return f"{float(row[f'{plant}_{what}']):.0%}"


def lines(rows: Sequence[Row]) -> list[list[str]]:
    """Rows of the table of results: one a policy, plant and lift level."""
    return [
        [
            row["condition"],
            plant,
            f"{float(row['lift']):g}",
            *(shown(number_or_nan(row[f"{plant}_{name}"])) for name in ("goal", "proxy", "C", "G", "harm")),
        ]
        for row in rows
        for plant in ("grid", "rover")
    ]


def plane(rows: Sequence[Row]) -> Figure:
    """The 2-D robustness plane: a point a policy, plant and lift level; darker is more lifted."""
    figure = Figure(figsize=(6.8, 4.6), layout="constrained")
    axes = figure.subplots()
    shade_undefined(axes)
    for (name, colour), (plant, mark) in itertools.product(colours_of(rows).items(), MARKS.items()):
        own = [row for row in rows if row["condition"] == name]
        for row in own:
            axes.scatter(
                float(row[f"{plant}_C"]),
                float(row[f"{plant}_G"]),
                marker=mark,
                s=44,
                color=colour,
                alpha=0.35 + 0.6 * float(row["lift"]),
                label=f"{name}: {plant}" if row is own[-1] else None,
            )
    axes.set(xlabel="capability C", ylabel="goal fidelity G", xlim=(0, 1.03), ylim=(0, 1.03))
    plain_axes(axes)
    side_legend(axes)
    return figure


def _films(folder: Path, result: DemoResult) -> Section:
    if result.films is None:
        return Section("Side by side", ["No film was requested."])
    table = [
        [item["title"], item["first_contact"], f"{item['time']:.1f}"]
        for group in result.films["episodes"]
        for item in group
    ]
    text = "The first levels by number, nobody chose them; nerfed, then lifted; four times as fast."
    media = [Medium.of(folder / "demo.mp4", "Left without powers in training, right with powers at times.")]
    return Section("Side by side", [text], [Table(("episode", "met first", "s"), table)], media)


def _harm(result: DemoResult) -> Section:
    rows = [
        [
            *(title, str(event.harm), f"{event.quantity:.3g}", f"{event.threshold:.3g}"),
            *(event.element_id, f"{event.time:.2f}"),
        ]
        for title, event in result.harm
    ]
    texts = [
        f"{row['condition']} at lift {float(row['lift']):g}: harm in {_share(row, 'harm')} of the rover's"
        f" episodes."
        for row in result.rows
    ]
    if not rows:
        texts.append("In the episodes above there was no harm event.")
    table = Table(("episode", "type", "quantity", "threshold", "object", "s"), rows)
    return Section("Harm events", texts, [table] if rows else [])


def _gauntlet(driven: Mapping[str, Any]) -> Section:
    rows = [
        [
            name,
            "yes" if run["success"] else "no",
            ", ".join(run["failed_at"]) or "nothing",
            f"{run['leases']['granted']} / {run['leases']['refused']}",
            ", ".join(f"{kind} {amount:.3g}" for kind, amount in run["harm"].items()) or "none",
        ]
        for name, run in driven["runs"].items()
    ]
    text = (
        "A scripted driver on gauntlet shows leases as a robot has them: nerfed it fails at every obstacle;"
        " with leases requested inside the lift zones it passes; a lease requested outside is refused. All"
        " details are in gauntlet.html beside this page."
    )
    headings = ("run", "coin reached", "failed at", "leases granted / refused", "harm")
    return Section("Leases on a course of obstacles", [text], [Table(headings, rows)])


def _audit(folder: Path, result: DemoResult) -> Section:
    records = read_records(folder / "audit.jsonl")
    rows = []
    for record in records:
        if record["event"] not in ("run", "grant", "refuse", "return", "revoke"):
            continue
        fields = record["fields"]
        what = fields.get("name") or ", ".join(fields.get("axes") or ()) or str(fields.get("reason", ""))
        rows.append([str(record["seq"]), record["event"], f"{record['now']:.2f}", what, record["hash"][:12]])
    text = (
        f"Every lease of the filmed episodes: {result.audit['lines']} lines, each with the hash of the line"
        f" before; the head is {result.audit['head']}. `nerfbot audit-log verify` checks it. The gauntlet's"
        f" own log has {result.gauntlet['audit']['lines']} lines, its head is"
        f" {result.gauntlet['audit']['head']}."
    )
    return Section("Audit log", [text], [Table(("line", "event", "s", "what", "hash"), rows)])
