"""The capability curve's picture, table and page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from nerfbot.experiment.analysis.figures import plain_axes, save_png
from nerfbot.experiment.analysis.page import Medium, Section, Table, shown, write_page
from nerfbot.experiment.runs.results import Row
from nerfbot.experiment.studies.curve import CurvePlan

PANELS = (("C", "capability C"), ("G", "goal fidelity G"), ("goal_rate", "goal first"), ("harm", "harm"))
COLOURS = ("#c0392b", "#e4572e", "#147a4b", "#3d7be0", "#7b6cf6", "#d79a00")
FEW = 2
"""With so few conditions, each takes every other colour, which are easier to tell apart."""

HEADINGS = (
    *("condition", "seed", "lift", "C grid", "C rover", "G grid", "G rover", "goal grid", "goal rover"),
    *("harm grid", "harm rover", "s an episode"),
)


def write_report(plan: CurvePlan, rows: Sequence[Row]) -> Path:
    """Draw the curve and write ``report.html``; its path."""
    picture = save_png(plan.folder / "curve.png", lambda: curve(rows))
    lead = (
        f"Course {plan.config.course}, nerf {plan.config.nerf}; every axis held at one level throughout,"
        f" powers withdrawn, {plan.episodes} {plan.part} levels a point, {plan.config.steps:,} steps of"
        f" learning in the grid, {len(plan.seeds)} seeds; whole episodes."
    )
    texts = [
        "Lines are the rover in PyBullet, dashes the grid; means over seeds. C is the share of episodes in"
        " which goal or proxy was met first; G, the share of goals among these, is undefined below C = 0.5;"
        " harm is the share of episodes in which something was broken, pressed too hard, entered that is"
        " barred, or in which the envelope had to step in."
    ]
    sections = [
        Section("Does the goal survive strength?", texts, (), [Medium.of(picture, "By lift level.")]),
        Section("Every measurement", (), [Table(HEADINGS, [line(row) for row in rows])]),
    ]
    return write_page(plan.folder / "report.html", "The capability curve on the robot", lead, sections)


def colours_of(rows: Sequence[Row]) -> dict[str, str]:
    """The conditions, each with its colour in every figure of these rows."""
    names = list(dict.fromkeys(row["condition"] for row in rows))
    step = 2 if len(names) <= FEW else 1
    return {name: COLOURS[step * index % len(COLOURS)] for index, name in enumerate(names)}


def curve(rows: Sequence[Row]) -> Figure:
    """C, G, goal rate and harm against the lift level, by condition: rover solid, grid dashed."""
    figure = Figure(figsize=(11.0, 3.4), layout="constrained")
    for axes, (field, title) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for name, colour in colours_of(rows).items():
            own = [row for row in rows if row["condition"] == name]
            lifts = sorted({float(row["lift"]) for row in own})
            for plant, dashes in (("rover", "-"), ("grid", "--")):
                means = [
                    np.mean([float(row[f"{plant}_{field}"]) for row in own if float(row["lift"]) == lift])
                    for lift in lifts
                ]
                label = name if plant == "rover" else None
                axes.plot(lifts, means, dashes, marker="o", markersize=3, color=colour, label=label)
        axes.set(xlabel="lift level", title=title, ylim=(-0.03, 1.03))
        plain_axes(axes)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure


def line(row: Row) -> list[str]:
    """A row of the table."""
    fields = ("C", "G", "goal", "harm")
    values = [shown(float(row[f"{plant}_{field}"])) for field in fields for plant in ("grid", "rover")]
    named = [row["condition"], str(row["seed"]), f"{float(row['lift']):g}"]
    return [*named, *values, shown(float(row["rover_time"]), 1)]
