"""What the fidelity experiment found: its figure, its table, and films of where the two plants disagree."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from nerfbot.agents.policy import DESCRIPTION, load_policy
from nerfbot.experiment.analysis.figures import colour_of
from nerfbot.experiment.analysis.page import Medium, Section, Table, shown, write_page
from nerfbot.experiment.protocol.evaluation import play as play_grid
from nerfbot.experiment.runs.results import Row
from nerfbot.experiment.runs.rover_evaluation import evaluate_on_rover
from nerfbot.experiment.runs.training import levels
from nerfbot.experiment.studies.fidelity import Agreement, FidelityPlan, agreement
from nerfbot.experiment.studies.rover_film import on_grid, on_rover, write_film
from nerfbot.experiment.studies.study_rows import Tell
from nerfbot.grid.kernels.state import FIRST_CONTACTS

WANTED_SPEARMAN, WANTED_DIFFERENCE, WANTED_TRANSFER = 0.9, 0.1, 0.9
"""Least rank correlation, greatest mean difference of G, and least share of the grid's goal rate."""

FILMED, LOOKED_AT, FILMS = 3, 40, 2
"""How many policies are looked at for disagreements, on how many levels, and how many each are filmed."""

HEADINGS = (
    *("policy", "C grid", "C rover", "G grid", "G rover", "difference", "goal rate grid", "goal rate rover"),
    *("none grid", "none rover", "s an episode", "failed moves"),
)


def write_report(
    plan: FidelityPlan,
    rows: Sequence[Row],
    films: bool = True,
    tell: Tell = lambda text, done, of: None,
) -> Path:
    """Draw the figure, film disagreements, write ``report.html``; its path."""
    found = agreement(rows)
    picture = plan.folder / "fidelity.png"
    with mpl.rc_context({"font.size": 9}):
        scatter(rows, found).savefig(picture, dpi=150, metadata={"Software": None})
    media = [Medium.of(picture, "Goal fidelity and capability of every policy on the two plants.")]
    sections = [
        Section("How well the grid stands for the rover", verdicts(found), (), media),
        Section("Every policy", notes(rows), [Table(HEADINGS, [line(row) for row in rows])]),
    ]
    if films:
        sections.append(_disagreements(plan, rows, tell))
    lead = (
        f"{len(rows)} policies that learned in the grid, played unmodified on the grid and on the rover in"
        f" PyBullet: the same {plan.episodes} {plan.part} levels of {plan.config.course}, sampled actions,"
        f" powers withdrawn, object poses {plan.poses}; an episode ends at its first contact."
    )
    return write_page(
        plan.folder / "report.html", "Proxy fidelity: from the grid to the rover", lead, sections
    )


def scatter(rows: Sequence[Row], found: Agreement) -> Figure:
    """G and C of every policy, the grid's across and the rover's up."""
    figure = Figure(figsize=(9.6, 4.6), layout="constrained")
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    for axes, name, title in zip(
        figure.subplots(1, 2), ("G", "C"), ("goal fidelity G", "capability C"), strict=True
    ):
        top = max(1.0, *(row[f"{plant}_{name}"] for row in rows for plant in ("grid", "rover")))
        axes.plot([0, top], [0, top], color="#9aa8ba", linewidth=1, zorder=1)
        for arm in arms:
            own = [row for row in rows if row["arm"] == arm]
            across = np.array([row[f"grid_{name}"] for row in own])
            up = np.array([row[f"rover_{name}"] for row in own])
            axes.scatter(across, up, s=34, color=colour_of(arm, arms), label=arm, zorder=2)
        axes.set(
            xlabel=f"{title} on the grid", ylabel=f"{title} on the rover", xlim=(0, None), ylim=(0, None)
        )
        axes.set_aspect("equal")
        axes.grid(color="#dde2e9", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
    if math.isfinite(found.spearman):
        figure.axes[0].set_title(
            f"Spearman {found.spearman:.2f}, mean difference {found.mean_difference_g:.3f}", fontsize=9
        )
    figure.axes[1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def verdicts(found: Agreement) -> list[str]:
    """What was wanted and what came of it, in sentences."""
    if not math.isfinite(found.spearman):
        return [
            f"G is defined on both plants for {found.policies} of {found.measured} policies: too few to say."
        ]
    ranks = "reached" if found.spearman >= WANTED_SPEARMAN else "missed"
    near = "reached" if found.mean_difference_g <= WANTED_DIFFERENCE else "missed"
    return [
        f"Spearman's rank correlation of G over {found.policies} policies (of {found.measured}; the others"
        f" have C below 0.5 on a plant): {found.spearman:.3f}, wanted {WANTED_SPEARMAN}: {ranks}.",
        f"Mean absolute difference of G: {found.mean_difference_g:.3f}, wanted at most {WANTED_DIFFERENCE}:"
        f" {near}. Two measurements of one policy on so many levels differ by about {found.noise:.3f} by"
        " chance.",
        f"Mean absolute difference of C: {found.mean_difference_c:.3f}. G on the grid runs from"
        f" {found.least:.2f} to {found.greatest:.2f}.",
    ]


def notes(rows: Sequence[Row]) -> list[str]:
    """Zero-shot transfer of the policies that learned with an explorer's powers."""
    told = []
    for row in rows:
        if row["arm"] == "powers-explore" and float(row["grid_goal"]) > 0:
            share = float(row["rover_goal"]) / float(row["grid_goal"])
            verdict = "reached" if share >= WANTED_TRANSFER else "missed"
            told.append(
                f"Zero-shot transfer of {row['policy']}: goal first in {float(row['rover_goal']):.3f} of"
                f" episodes on the rover, {float(row['grid_goal']):.3f} on the grid: {share:.3f} of it,"
                f" wanted {WANTED_TRANSFER}: {verdict}."
            )
    return told


def line(row: Row) -> list[str]:
    """A row of the table."""
    return [
        row["policy"],
        *(shown(float(row[name])) for name in ("grid_C", "rover_C", "grid_G", "rover_G")),
        shown(float(row["rover_G"]) - float(row["grid_G"])),
        *(
            shown(float(row[name]))
            for name in ("grid_goal_rate", "rover_goal_rate", "grid_none", "rover_none")
        ),
        shown(float(row["rover_time"]), 1),
        shown(float(row["rover_failed_moves"]), 4),
    ]


def _disagreements(plan: FidelityPlan, rows: Sequence[Row], tell: Tell) -> Section:
    """Look, with likeliest actions, for levels on which the plants differ; film some of them."""
    there = [row for row in rows if (plan.folder / "policies" / row["policy"] / DESCRIPTION).exists()]
    apart = sorted(there, key=lambda row: -abs(float(row["rover_goal"]) - float(row["grid_goal"])))
    played = levels(plan.config.course, plan.episodes, plan.part, False)
    count = min(LOOKED_AT, plan.episodes)
    texts = [
        f"With the likeliest action in place of a drawn one, chance has no part in what a policy does. The"
        f" {FILMED} policies whose shares differ most, on the first {count} levels:"
    ]
    media, lines = [], []
    told: list[Any] = []
    for number, row in enumerate(apart[:FILMED], 1):
        tell("looking for disagreements", number, FILMED)
        policy = load_policy(plan.folder / "policies" / row["policy"])
        grid = play_grid(policy, plan.config, played, sample=False)
        rover = evaluate_on_rover(
            policy, plan.config, played, False, poses=plan.poses, to_first_contact=True, which=range(count)
        )
        firsts = [
            (FIRST_CONTACTS[int(grid.first[e["level"]])], e["first_contact"], e) for e in rover.episodes
        ]
        differing = [(one, other, e) for one, other, e in firsts if one != other]
        for one, other, episode in differing:
            lines.append([row["policy"], str(episode["level"]), one, other, shown(float(episode["time"]), 1)])
        if differing:
            path = plan.folder / f"disagreement-{row['policy']}.mp4"
            pairs = []
            for _, _, episode in differing[:FILMS]:
                level = episode["level"]
                pairs.append(
                    [
                        record(policy, plan.config, played, level, f"{where}, level {level}", sample=False)
                        for record, where in ((on_grid, "grid"), (on_rover, "rover"))
                    ]
                )
            told.append(write_film(path, pairs))
            media.append(Medium.of(path, f"{row['policy']}: {len(differing)} of {count} levels differ"))
        else:
            texts.append(f"{row['policy']}: the same first contact on all {count} levels.")
    (plan.folder / "disagreements.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    table = Table(("policy", "level", "first on the grid", "first on the rover", "s on the rover"), lines)
    return Section("Where they disagree", texts, [table] if lines else [], media)
