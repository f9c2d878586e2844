"""The report's charts as inline SVG: they take their colours from the page, so they follow light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby

import numpy as np

from nerfbot.limits import AXES

from .runs import STAGES, Run

WIDTH, LEFT, RIGHT = 1000, 96, 12
"""Of every chart, and what is left free at its sides; units are the picture's own."""

REASON_NAMES = {
    "interference": "command lost in the zone",
    "drop": "message dropped",
    "hold": "actuator held",
    "latency": "late command",
    "dead_band": "inside the dead band",
    "velocity": "velocity limit",
    "acceleration": "acceleration limit",
    "effort": "effort limit",
    "envelope": "envelope",
}
"""What the strips are called; reasons without a name here are shown under their own."""


def command_chart(run: Run) -> str:
    """Forward speed asked for, enforced and measured, over the obstacles, and the reasons as strips."""
    end, top, tall = run.time, 26, 190
    times = [sample.time for sample in run.samples]
    low, high = -0.4, 1.3

    def height(value: float) -> float:
        return top + tall * (high - value) / (high - low)

    parts = [_stages(run, end, top, tall)]
    for value in (0.0, 0.4, 0.8, 1.2):
        y = height(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    parts.append(f'<text class="tick" x="8" y="{top + 12}">m/s</text>')
    series = (
        ("asked", [sample.requested[0] for sample in run.samples]),
        ("enforced", [sample.executed[0] for sample in run.samples]),
        ("measured", [sample.speed for sample in run.samples]),
    )
    parts += [_line(name, times, values, end, height) for name, values in series]
    strips, bottom = _strips(run, end, top + tall + 16)
    parts += strips
    parts.append(_time_axis(end, bottom))
    return _svg(bottom + 26, f"{run.kind.title}: commands over time", parts)


def lift_chart(run: Run) -> str:
    """Lift by axis over time, with the windows of the leases."""
    end, tall, y = run.time, 34, 10
    times = [sample.time for sample in run.samples]
    parts = []
    for k, axis in enumerate(AXES):
        base = y + tall
        for start, stop, axes in run.windows:
            if axis in axes:
                x0, x1 = _x(start, end), _x(stop, end)
                parts.append(
                    f'<rect class="window" x="{x0:.1f}" y="{y}" width="{max(1.5, x1 - x0):.1f}"'
                    f' height="{tall}" rx="3"/>'
                )
        levels = [sample.lift[k] for sample in run.samples]
        points = " ".join(
            f"{_x(time, end):.1f},{base - (tall - 4) * level:.1f}" for time, level in _bends(times, levels)
        )
        parts.append(
            f'<polygon class="axis-{axis}" points="{LEFT},{base} {points} {WIDTH - RIGHT},{base}"/>'
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>'
            f'<text class="tick" x="{LEFT - 8}" y="{base - 11}" text-anchor="end">{axis}</text>'
        )
        y += tall + 10
    parts.append(_time_axis(end, y - 4))
    return _svg(y + 22, f"{run.kind.title}: lift levels over time", parts)


def _x(time: float, end: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * time / end


def _line(name: str, times: list[float], values: list[float], end: float, height: object) -> str:
    points = " ".join(f"{_x(t, end):.1f},{height(v):.1f}" for t, v in _bends(times, values))  # type: ignore[operator]
    return f'<polyline class="line {name}" points="{points}"/>'


def _bends(times: Sequence[float], values: Sequence[float]) -> Iterable[tuple[float, float]]:
    """The points of a line that matter: those on a straight stretch are left out."""
    t, v = np.asarray(times), np.round(values, 3)
    keep = np.ones(len(v), bool)
    if len(v) > 2:
        keep[1:-1] = np.abs(v[2:] - 2 * v[1:-1] + v[:-2]) > 1e-3
    return list(zip(t[keep].tolist(), v[keep].tolist(), strict=True))


def _stages(run: Run, end: float, top: int, tall: int) -> str:
    parts = []
    for start, stop, index, result in run.stages:
        x0, x1 = _x(start, end), _x(stop, end)
        mark = "✓" if result == "passed" else "✗"
        parts.append(
            f'<rect class="stage {result}" x="{x0:.1f}" y="{top}" width="{x1 - x0:.1f}" height="{tall}"/>'
            f'<text class="stage-name {result}" x="{(x0 + x1) / 2:.1f}" y="17" text-anchor="middle">'
            f"{mark} {escape(STAGES[index].axis)}</text>"
        )
    for time in run.teleports:
        x = _x(time, end)
        parts.append(f'<line class="teleport" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + tall}"/>')
    return "".join(parts)


def _strips(run: Run, end: float, top: int) -> tuple[list[str], int]:
    """One row for each reason that occurred; the rows' markup and where they end."""
    seen = {reason for sample in run.samples for reason in sample.reasons}
    names = [name for name in REASON_NAMES if name in seen] + sorted(seen - set(REASON_NAMES))
    parts, y = [], top
    step = run.samples[0].time if run.samples else 0.0
    colours = [*REASON_NAMES, *names]
    for name in names:
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 10}" text-anchor="end">{name}</text>')
        parts.append(f'<rect class="row" x="{LEFT}" y="{y}" width="{WIDTH - LEFT - RIGHT}" height="12"/>')
        for on, group in groupby(run.samples, key=lambda sample: name in sample.reasons):
            spans = list(group)
            if on:
                x0, x1 = _x(spans[0].time - step, end), _x(spans[-1].time, end)
                parts.append(
                    f'<rect class="strip s{colours.index(name) % 9}" x="{x0:.1f}" y="{y}"'
                    f' width="{x1 - x0:.1f}" height="12">'
                    f"<title>{escape(REASON_NAMES.get(name, name))}: {spans[0].time:.1f} to"
                    f" {spans[-1].time:.1f} s</title></rect>"
                )
        y += 17
    return parts, y


def _time_axis(end: float, y: int) -> str:
    step = 2 if end < 20 else 10
    marks = "".join(
        f'<text class="tick" x="{_x(t, end):.1f}" y="{y + 15}" text-anchor="middle">{t:g}</text>'
        for t in np.arange(0, end - step / 3, step)
    )
    return marks + f'<text class="tick" x="{WIDTH - RIGHT}" y="{y + 15}" text-anchor="end">{end:.1f} s</text>'


def _svg(height: int, title: str, parts: list[str]) -> str:
    body = "".join(parts)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{body}</svg>"
    )
