"""The experiment's figures, drawn from rows and learning curves alone: PNG for reading, SVG for papers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from nerfbot.experiment.protocol.arms import MENU_SIZES
from nerfbot.experiment.protocol.measures import DEFINED, LIFTS
from nerfbot.experiment.protocol.statistics import interval
from nerfbot.experiment.runs.results import Row, arm_values, arms_of, column
from nerfbot.powers import EDITS

COLOURS: Mapping[str, str] = {
    "plain": "#c0392b",
    "powers-explore": "#147a4b",
    "random-powers": "#3d7be0",
    "random-powers-matched": "#7fb0ff",
    "random-powers-oracle": "#2a9d8f",
    "shuffled-explorer": "#7b6cf6",
    "powers": "#e4572e",
    "bonus-only": "#d79a00",
    "randomised-100": "#17202b",
    "random-policy": "#9aa8ba",
}
"""The arms that every reader compares have fixed colours; others take the next of `MORE`."""

CROWD = 12
"""With more arms than this, points of all of them in one picture hide one another."""

MORE = ("#d0629f", "#8c6d31", "#4c9be8", "#b1508f", "#6b8e23", "#5b6878", "#e0a100", "#00838f")

GRID = "#dde2e9"
MUTED = "#5b6878"

Curves = Mapping[tuple[str, int], Sequence[Mapping[str, Any]]]
"""Points of the learning curves, by arm and seed, as `metrics.jsonl` has them."""


def colours_of(arms: Sequence[str]) -> dict[str, str]:
    """The arms, each with its colour among these."""
    more = itertools.cycle(MORE)
    return {arm: COLOURS.get(arm) or next(more) for arm in arms}


def _compared(rows: Sequence[Row]) -> dict[str, str]:
    """The arms to draw in one picture and their colours: all, or those of `COLOURS` instead of a crowd."""
    arms = arms_of(rows)
    return colours_of(arms if len(arms) <= CROWD else [arm for arm in arms if arm in COLOURS])


def _runs_of(arm: str, curves: Curves) -> tuple[list[int], list[Sequence[Mapping[str, Any]]]]:
    """An arm's learning curves, as long as the shortest of them, and the steps of their points."""
    runs = [points for (name, _), points in sorted(curves.items()) if name == arm and points]
    length = min(map(len, runs), default=0)
    runs = [points[:length] for points in runs]
    return [point["steps"] for point in runs[0]] if runs else [], runs


def robustness_plane(rows: Sequence[Row], curves: Curves) -> Figure:
    """One point a seed: capability across, goal fidelity up; a ring at each arm's means."""
    figure, axes = _figure(6.6, 5.6)
    shade_undefined(axes)
    for arm, colour in _compared(rows).items():
        across, up = arm_values(rows, arm, "C"), arm_values(rows, arm, "G")
        shown = np.isfinite(up)
        if shown.any():
            axes.scatter(across[shown], up[shown], s=26, color=colour, alpha=0.75, label=arm, linewidths=0)
            means = (across[shown].mean(), up[shown].mean())
            axes.scatter(*means, s=150, facecolors="none", edgecolors=colour, linewidths=1.6)
        if (~shown).any():
            label = None if shown.any() else arm
            low = np.full((~shown).sum(), -0.03)
            axes.scatter(across[~shown], low, s=26, marker="x", color=colour, label=label)
    axes.set_xlim(-0.02, max(1.1, axes.get_xlim()[1]))
    axes.set_ylim(-0.06, 1.05)
    axes.set_xlabel("C: capability (goal or proxy first, share of the ceiling's)")
    axes.set_ylabel("G: goal fidelity (goal first among the two)")
    side_legend(axes)
    return figure


def goal_rates(rows: Sequence[Row], curves: Curves) -> Figure:
    """The headline: every seed's goal rate, the interquartile mean and its 95 % interval."""
    arms = arms_of(rows)
    figure, axes = _figure(7.2, 0.34 * len(arms) + 1.3)
    for height, (arm, colour) in enumerate(reversed(colours_of(arms).items())):
        rate = arm_values(rows, arm, "goal_rate")
        spread = interval(rate)
        axes.scatter(rate, np.full(len(rate), height), s=16, color=colour, alpha=0.45, linewidths=0)
        if math.isfinite(spread.low):
            axes.plot([spread.low, spread.high], [height, height], color=colour, linewidth=2.4)
        axes.plot(spread.value, height, marker="|", markersize=13, markeredgewidth=2.4, color=colour)
    axes.set_yticks(range(len(arms)), list(reversed(arms)))
    axes.set_xlabel("goal rate (goal first, share of the ceiling's)")
    axes.set_xlim(left=-0.02)
    return figure


def learning_curves(rows: Sequence[Row], curves: Curves) -> Figure:
    """P(goal first) over steps, on development levels and on training-like ones: the seeds' mean."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    titles = {
        "development": "development levels (goal and proxy apart)",
        "validation": "validation levels (training-like)",
    }
    for axes, (part, title) in zip(panels, titles.items(), strict=True):
        for arm, colour in _compared(rows).items():
            steps, runs = _runs_of(arm, curves)
            if not runs:
                continue
            values = np.array([[point[part]["goal"] for point in points] for points in runs])
            axes.plot(steps, values.mean(0), color=colour, label=arm, linewidth=1.6)
            if len(runs) > 1:
                low, high = _band(values)
                axes.fill_between(steps, low, high, color=colour, alpha=0.13, linewidth=0)
        plain_axes(axes)
        axes.set_title(title, fontsize=10)
        _steps_across(axes)
    panels[0].set_ylabel("P(goal first)")
    panels[0].set_ylim(0, 1)
    side_legend(panels[1])
    return figure


def _band(values: np.ndarray[Any, Any]) -> tuple[list[float], list[float]]:
    """The 95 % interval of the mean at every point; the range where there are too few seeds for one."""
    low, high = [], []
    for point in values.T:
        spread = interval(point, "mean")
        enough = math.isfinite(spread.low)
        low.append(spread.low if enough else float(point.min()))
        high.append(spread.high if enough else float(point.max()))
    return low, high


def fidelity_against_alpha(rows: Sequence[Row], curves: Curves) -> Figure:
    """G against alpha_eff: only a difference at the same alpha_eff credits whoever picked the edits."""
    figure, axes = _figure(6.6, 4.6)
    floor = 1e-5
    for arm, colour in _compared(rows).items():
        alpha, fidelity = arm_values(rows, arm, "alpha_eff_steps"), arm_values(rows, arm, "G")
        shown = np.isfinite(fidelity)
        if shown.any():
            across = np.maximum(alpha[shown], floor)
            axes.scatter(across, fidelity[shown], s=26, color=colour, alpha=0.75, label=arm)
    axes.set_xscale("log")
    axes.set_ylim(-0.02, 1.05)
    axes.set_xlabel("alpha_eff: share of training steps with goal and proxy apart (none: 1e-5)")
    axes.set_ylabel("G")
    side_legend(axes)
    return figure


def edits_used(rows: Sequence[Row], curves: Curves) -> Figure:
    """How often each power was used over training, by arm; means of the seeds."""
    arms = [
        arm
        for arm in arms_of(rows)
        if any(arm_values(rows, arm, f"edits_{edit}").sum() > 0 for edit in EDITS)
    ]
    lines = max(1, math.ceil(len(arms) / 3))
    figure = Figure(figsize=(10, 2.4 * lines + 0.6), layout="constrained")
    panels = figure.subplots(lines, 3, squeeze=False).ravel()
    for axes, arm in zip(panels, arms, strict=False):
        steps, runs = _runs_of(arm, curves)
        if not runs:
            continue
        width = 0.8 * (steps[0] if len(steps) == 1 else steps[1] - steps[0])
        bottom = np.zeros(len(steps))
        for edit, colour in zip(EDITS, MORE, strict=False):
            counts = np.mean([[point["training"]["edits"][edit] for point in points] for points in runs], 0)
            axes.bar(steps, counts, width, bottom=bottom, color=colour, label=edit)
            bottom += counts
        axes.set_title(arm, fontsize=9)
        plain_axes(axes)
        _steps_across(axes)
        axes.set_xlabel("")
    for axes in panels[len(arms) :]:
        axes.set_axis_off()
    if arms:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    return figure


def capability_curve(rows: Sequence[Row], curves: Curves) -> Figure | None:
    """Goal rate and harm against the lift level held in the test: internal shift, and both shifts at once.

    None where nothing is nerfed, so that there is nothing to lift.
    """
    if not rows[0].get(f"lift_{LIFTS[0]:g}_train_goal"):
        return None
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    panels = figure.subplots(1, 2)
    parts = (("train", "-", "training-like levels"), ("test", "--", "distinguishing levels"))
    for axes, measure, label in zip(panels, ("goal", "harm"), ("P(goal first)", "P(harm)"), strict=True):
        for (arm, colour), (part, style, where) in itertools.product(_compared(rows).items(), parts):
            means = [arm_values(rows, arm, f"lift_{lift:g}_{part}_{measure}").mean() for lift in LIFTS]
            name = f"{arm}, {where}"
            axes.plot(LIFTS, means, style, label=name, color=colour, marker="o", markersize=3)
        plain_axes(axes)
        axes.set_xlabel("lift level of all four axes, held throughout the test (trained at 0)")
        axes.set_ylabel(label)
        axes.set_ylim(-0.02, 1.02)
    side_legend(panels[1])
    return figure


def menu_sizes(rows: Sequence[Row], curves: Curves) -> Figure | None:
    """Goal rate against how many kinds of edit the menu has, for the explorer and for chance, seed by seed.

    None where no arm plays with a smaller menu.
    """
    there = arms_of(rows)
    sizes = [size for size in MENU_SIZES if f"powers-explore-{size}" in there]
    if not sizes:
        return None
    figure, axes = _figure(5.2, 3.8)
    names = [*(f"-{size}" for size in sizes), ""]
    for base in ("powers-explore", "random-powers"):
        rates = [column(rows, base + name, "goal_rate") for name in names]
        shared = sorted(set.intersection(*map(set, rates)))
        values = np.array([[rate[seed] for seed in shared] for rate in rates])
        for line in values.T:
            axes.plot(range(len(names)), line, color=COLOURS[base], alpha=0.25, linewidth=0.9)
        style: dict[str, Any] = {"color": COLOURS[base], "marker": "o", "markersize": 4, "linewidth": 2.0}
        axes.plot(range(len(names)), values.mean(1), label=base, **style)
    axes.set_xticks(range(len(names)), [*sizes, "all"])
    axes.set_xlabel("kinds of edit on the menu")
    axes.set_ylabel("goal rate")
    side_legend(axes)
    return figure


FIGURES: Mapping[str, tuple[str, Callable[[Sequence[Row], Curves], Figure | None]]] = {
    "robustness-plane": ("The 2-D robustness plane, every seed", robustness_plane),
    "goal-rates": ("Goal rate by arm", goal_rates),
    "learning-curves": ("Learning curves", learning_curves),
    "alpha-eff": ("Goal fidelity against the share of distinguishing steps", fidelity_against_alpha),
    "edits": ("Powers used over training", edits_used),
    "menu-sizes": ("Goal rate against the kinds of edit on the menu", menu_sizes),
    "capability": ("The capability curve: goal and harm against the lift level", capability_curve),
}
"""Every figure: its title, and what draws it (None: there is nothing to show)."""


def write_figures(folder: Path, rows: Sequence[Row], curves: Curves) -> dict[str, Path]:
    """Draw all of them as PNG and SVG into `folder`; the PNG files by name."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    with mpl.rc_context({"svg.hashsalt": "nerfbot", "font.size": 9}):
        for name, (_, draw) in FIGURES.items():
            figure = draw(rows, curves)
            if figure is None:
                continue
            for suffix in ("png", "svg"):
                metadata = {"Date": None} if suffix == "svg" else {"Software": None}
                figure.savefig(folder / f"{name}.{suffix}", dpi=150, metadata=metadata)
            written[name] = folder / f"{name}.png"
    return written


def save_png(path: Path, draw: Callable[[], Figure]) -> Path:
    """Draw a figure of a report into a file that is the same whenever the figure is; its path."""
    with mpl.rc_context({"font.size": 9}):
        draw().savefig(path, dpi=150, metadata={"Software": None})
    return path


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    plain_axes(axes)
    return figure, axes


def _steps_across(axes: Axes) -> None:
    """Environment steps across, in thousands."""
    axes.set_xlabel("environment steps")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(4))


def plain_axes(axes: Axes) -> None:
    """A light grid behind the data, and no frame at the top and right."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def shade_undefined(axes: Axes) -> None:
    """Mark the part of a robustness plane in which G is undefined."""
    axes.axvspan(0.0, DEFINED, color="#eceff3", zorder=0)
    axes.text(0.25, 0.03, f"G undefined below C = {DEFINED}", ha="center", fontsize=8, color=MUTED)


def side_legend(axes: Axes) -> None:
    """A legend to the right of the axes, where there is anything to name."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
