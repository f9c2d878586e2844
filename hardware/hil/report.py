"""The campaign's report: one HTML file for people, JUnit XML for continuous integration."""

from __future__ import annotations

import html
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from .campaign import CampaignFigures, FaultFigures, Row

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; color: #222; }
table { border-collapse: collapse; width: 100%; } th, td { padding: .25rem .6rem; text-align: left; }
th { border-bottom: 2px solid #888; } td { border-bottom: 1px solid #ddd; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.bad { color: #b00020; font-weight: 600; }
.sum { font-weight: 600; }
"""

COLUMNS = (
    ("fault", False), ("kind", False), ("expected", False), ("trials", True), ("violations", True),
    ("missed stops", True), ("p50", True), ("p99", True), ("max", True), ("caught by", False),
    ("95 % bound", True),
)  # fmt: skip


def write_html(figures: CampaignFigures, path: Path) -> None:
    """Write the report to ``path``."""
    head = "".join(f'<th class="{"n" if number else ""}">{name}</th>' for name, number in COLUMNS)
    rows = "".join(_row(fault, figures.period) for fault in figures.faults)
    total = _row(figures.pooled, figures.period, "sum")
    problems = "".join(
        f"<li>{html.escape(row['fault'])}, {row['situation']}, seed {row['seed']}:"
        f" {html.escape('; '.join([*row['violations'], row['missed']]))}</li>"
        for row in figures.problems
    )
    path.write_text(
        f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>HIL campaign: {figures.robot}</title>
<style>{STYLE}</style><h1>HIL campaign: {html.escape(figures.robot)}</h1>
<p>{figures.pooled.trials} trials in {figures.seconds:g} s. Stop latency p99 for causes that the driver sees:
{_cycles(figures.stop_p99_writes)} bus cycles in the log, {_cycles(figures.stop_p99_cycles)} of
{figures.period * 1e3:g} ms by the clock; a bare timer's p99 lateness in the same run:
{_cycles(figures.timer_p99_cycles)} cycles. Latencies are in bus cycles from the cause, or from
the end of the time-out by which the design notices it. The bound is the one-sided 95 % Clopper-Pearson
upper bound on the probability of a violation.</p>
<table><thead><tr>{head}</tr></thead><tbody>{rows}{total}</tbody></table>
{f"<h2>Problems</h2><ul>{problems}</ul>" if problems else "<p>No violation and no missed stop.</p>"}
</html>
""",
        encoding="utf-8",
    )


def _row(fault: FaultFigures, period: float, style: str = "") -> str:
    def cell(text: object, number: bool = True, bad: bool = False) -> str:
        classes = f"{'n ' if number else ''}{'bad' if bad else ''}"
        return f'<td class="{classes}">{html.escape(str(text))}</td>'

    latencies = [None if value is None else value / period for value in (fault.p50, fault.p99, fault.most)]
    cells = [
        *(cell(text, False) for text in (fault.name, fault.kind, fault.expect)),
        cell(fault.trials),
        cell(fault.violations, bad=fault.violations > 0),
        cell(fault.missed, bad=fault.missed > 0),
        *(cell(_cycles(value)) for value in latencies),
        cell(fault.guards, False),
        cell(f"{fault.bound:.3g}"),
    ]
    return f'<tr class="{style}">{"".join(cells)}</tr>'


def _cycles(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def write_junit(figures: CampaignFigures, rows: Sequence[Row], path: Path) -> None:
    """Write a test case for every trial to ``path``."""
    bad = len(figures.problems)
    suite = ElementTree.Element(
        "testsuite", name=f"hil.{figures.robot}", tests=str(len(rows)), failures=str(bad), errors="0",
        time=f"{figures.seconds:g}",
    )  # fmt: skip
    for row in rows:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"hil.{figures.robot}.{row['kind']}",
            name=f"{row['fault']} [{row['situation']}, seed {row['seed']}]", time=f"{row['seconds']:.3f}",
        )  # fmt: skip
        if row["violations"] or row["missed"]:
            text = "; ".join([*row["violations"], *([row["missed"]] if row["missed"] else [])])
            ElementTree.SubElement(case, "failure", message=text)
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
