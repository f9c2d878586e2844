"""The fidelity study's report: its figure, its table, and films of where the two plants disagree."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from nerfbot.agents.policy import DESCRIPTION, load_policy
from nerfbot.experiment.analysis.figures import colours_of, plain_axes, save_png, side_legend
from nerfbot.experiment.analysis.page import Medium, Section, Table, shown, write_page
from nerfbot.experiment.protocol.evaluation import play_levels
from nerfbot.experiment.protocol.measures import FIRST_CONTACTS
from nerfbot.experiment.runs.results import Row
from nerfbot.experiment.runs.rover_evaluation import evaluate_on_rover
from nerfbot.experiment.runs.run_folder import write_text
from nerfbot.experiment.runs.training import draw_levels
from nerfbot.experiment.studies.fidelity import Agreement, FidelityPlan, agreement
from nerfbot.experiment.studies.rover_film import on_grid, on_rover, write_film
from nerfbot.experiment.studies.study_rows import PLANTS, OnProgress

REQUIRED_SPEARMAN, REQUIRED_DIFFERENCE, REQUIRED_TRANSFER = 0.9, 0.1, 0.9
"""Least rank correlation, greatest mean difference of G, and least share of the grid's goal rate."""

COMPARED_POLICIES, COMPARED_LEVELS, FILMED_LEVELS = 3, 40, 2
"""How many policies are searched for disagreements, on how many levels, and how many of those are filmed."""

HEADINGS = (
    *("policy", "C grid", "C rover", "G grid", "G rover", "difference", "goal rate grid", "goal rate rover"),
    *("none grid", "none rover", "s an episode", "failed moves"),
)


def write_report(
    plan: FidelityPlan,
    rows: Sequence[Row],
    films: bool = True,
    on_progress: OnProgress = lambda text, done, total: None,
) -> Path:
    """Draw the figure, film disagreements, write ``report.html``; its path."""
    figures = agreement(rows)
    picture = save_png(plan.folder / "fidelity.png", lambda: scatter(rows, figures))
    media = [Medium.of(picture, "Goal fidelity and capability of every policy on the two plants.")]
    sections = [
        Section("How well the grid stands for the rover", verdicts(figures), (), media),
        Section("Every policy", notes(rows), [Table(HEADINGS, [line(row) for row in rows])]),
    ]
    if films:
        sections.append(_disagreements(plan, rows, on_progress))
    lead = (
        f"{len(rows)} policies that learned in the grid, played unmodified on the grid and on the rover in"
        f" PyBullet: the same {plan.episodes} {plan.part} levels of {plan.config.course}, sampled actions,"
        f" powers withdrawn, object poses {plan.poses}; an episode ends at its first contact."
    )
    return write_page(
        plan.folder / "report.html", "Proxy fidelity: from the grid to the rover", lead, sections
    )


def scatter(rows: Sequence[Row], figures: Agreement) -> Figure:
    """G and C of every policy, the grid's across and the rover's up."""
    figure = Figure(figsize=(9.6, 4.6), layout="constrained")
    colours = colours_of(list(dict.fromkeys(row["arm"] for row in rows)))
    titles = {"G": "goal fidelity G", "C": "capability C"}
    for axes, (name, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        top = max(1.0, *(row[f"{plant}_{name}"] for row in rows for plant in PLANTS))
        axes.plot([0, top], [0, top], color="#9aa8ba", linewidth=1, zorder=1)
        for arm, colour in colours.items():
            grid, rover = (
                np.array([row[f"{plant}_{name}"] for row in rows if row["arm"] == arm]) for plant in PLANTS
            )
            axes.scatter(grid, rover, s=34, color=colour, label=arm, zorder=2)
        axes.set(
            xlabel=f"{title} on the grid", ylabel=f"{title} on the rover", xlim=(0, None), ylim=(0, None)
        )
        axes.set_aspect("equal")
        plain_axes(axes)
    if math.isfinite(figures.spearman):
        figure.axes[0].set_title(
            f"Spearman {figures.spearman:.2f}, mean difference {figures.mean_difference_g:.3f}", fontsize=9
        )
    side_legend(figure.axes[1])
    return figure


def verdicts(figures: Agreement) -> list[str]:
    """What was required and what was measured, in sentences."""
    if not math.isfinite(figures.spearman):
        return [
            f"G is defined on both plants for {figures.policies} of {figures.measured} policies: too few to"
            " say."
        ]
    return [
        f"Spearman's rank correlation of G over {figures.policies} policies (of {figures.measured}; the"
        f" others have C below 0.5 on a plant): {figures.spearman:.3f}, required {REQUIRED_SPEARMAN}:"
        f" {_verdict(figures.spearman >= REQUIRED_SPEARMAN)}.",
        f"Mean absolute difference of G: {figures.mean_difference_g:.3f}, required at most"
        f" {REQUIRED_DIFFERENCE}: {_verdict(figures.mean_difference_g <= REQUIRED_DIFFERENCE)}. Two"
        f" measurements of one policy on so many levels differ by about {figures.noise:.3f} by chance.",
        f"Mean absolute difference of C: {figures.mean_difference_c:.3f}. G on the grid runs from"
        f" {figures.least:.2f} to {figures.greatest:.2f}.",
    ]


def _verdict(reached: bool) -> str:
    return "reached" if reached else "missed"


def notes(rows: Sequence[Row]) -> list[str]:
    """Zero-shot transfer of the policies that learned with an explorer's powers."""
    texts = []
    for row in rows:
        grid, rover = float(row["grid_goal"]), float(row["rover_goal"])
        if row["arm"] == "powers-explore" and grid > 0:
            texts.append(
                f"Zero-shot transfer of {row['policy']}: goal first in {rover:.3f} of episodes on the rover,"
                f" {grid:.3f} on the grid: {rover / grid:.3f} of it, required {REQUIRED_TRANSFER}:"
                f" {_verdict(rover / grid >= REQUIRED_TRANSFER)}."
            )
    return texts


def line(row: Row) -> list[str]:
    """A row of the table."""
    names = ("goal_rate", "none")
    return [
        row["policy"],
        *(shown(float(row[f"{plant}_{name}"])) for name in ("C", "G") for plant in PLANTS),
        shown(float(row["rover_G"]) - float(row["grid_G"])),
        *(shown(float(row[f"{plant}_{name}"])) for name in names for plant in PLANTS),
        shown(float(row["rover_time"]), 1),
        shown(float(row["rover_failed_moves"]), 4),
    ]


def _disagreements(plan: FidelityPlan, rows: Sequence[Row], on_progress: OnProgress) -> Section:
    """Find levels on which the plants differ, with likeliest actions, and film some of them."""
    folders = {row["policy"]: plan.folder / "policies" / row["policy"] for row in rows}
    there = [row for row in rows if (folders[row["policy"]] / DESCRIPTION).exists()]
    apart = sorted(there, key=lambda row: -abs(float(row["rover_goal"]) - float(row["grid_goal"])))
    levels = draw_levels(plan.config.course, plan.episodes, plan.part, False)
    count = min(COMPARED_LEVELS, plan.episodes)
    texts = [
        f"With the likeliest action in place of a drawn one, chance has no part in what a policy does. The"
        f" {COMPARED_POLICIES} policies whose shares differ most, on the first {count} levels:"
    ]
    media, lines, films = [], [], []
    for number, row in enumerate(apart[:COMPARED_POLICIES], 1):
        on_progress("looking for disagreements", number, COMPARED_POLICIES)
        name = row["policy"]
        policy = load_policy(folders[name])
        grid = play_levels(policy, plan.config, levels, sample=False)
        rover = evaluate_on_rover(
            policy, plan.config, levels, False, poses=plan.poses, to_first_contact=True, which=range(count)
        )
        differing = []
        for episode in rover.episodes:
            level, on_the_grid = episode["level"], FIRST_CONTACTS[int(grid.first[episode["level"]])]
            if on_the_grid != episode["first_contact"]:
                differing.append(level)
                time = shown(float(episode["time"]), 1)
                lines.append([name, str(level), on_the_grid, episode["first_contact"], time])
        if not differing:
            texts.append(f"{name}: the same first contact on all {count} levels.")
            continue
        pairs = [
            [
                record(policy, plan.config, levels, level, f"{plant}, level {level}", sample=False)
                for record, plant in ((on_grid, "grid"), (on_rover, "rover"))
            ]
            for level in differing[:FILMED_LEVELS]
        ]
        path = plan.folder / f"disagreement-{name}.mp4"
        films.append(write_film(path, pairs))
        media.append(Medium.of(path, f"{name}: {len(differing)} of {count} levels differ"))
    write_text(plan.folder / "disagreements.json", json.dumps(films, indent=2) + "\n")
    table = Table(("policy", "level", "first on the grid", "first on the rover", "s on the rover"), lines)
    return Section("Where they disagree", texts, [table] if lines else [], media)
