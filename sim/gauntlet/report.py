"""The demo's report: numbers, tables and pictures gathered for the page `report.html.j2`.

One function a section; `SECTIONS` lists them in the page's order, and the template has a block for each.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nerfbot import __version__
from nerfbot.html import data_uri, write_page
from nerfbot.limits import AXES, NerfSpec, enforcement
from nerfbot.limits.fields import COMMAND_FIELDS, SENSOR_FIELDS
from nerfbot.limits.value import Value, high, low
from nerfbot.powers.audit import AuditSummary

from ..plant.render import Frame as Image
from ..robots.description import RobotDescription
from .charts import REASON_NAMES, command_chart, lift_chart
from .runs import COURSE, NERF, STAGES, Run


@dataclass(frozen=True)
class Material:
    """What a report is made from: the runs, the audit log's records, stills by run, and the poster."""

    runs: Sequence[Run]
    records: Sequence[dict[str, Any]]
    summary: AuditSummary
    stills: dict[str, list[tuple[str, Image]]]
    poster: Image
    metrics: dict[str, Any]
    seed: int


def metrics(runs: Sequence[Run], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The numbers of every run; all but ``wall_seconds`` follow from the seed."""
    by_run = records_by_run(records)
    return {run.kind.name: _numbers(run, by_run[run.kind.name]) for run in runs}


def records_by_run(records: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The audit log's records by the run that they belong to."""
    runs: dict[str, list[dict[str, Any]]] = {}
    current: list[dict[str, Any]] = []
    for record in records:
        if record["event"] == "run":
            current = runs.setdefault(record["fields"]["name"], [])
        current.append(record)
    return runs


def windows(records: Sequence[dict[str, Any]]) -> list[tuple[float, float, str]]:
    """When each lease of one run was in force: start s, end s, its axes."""
    ends = {r["fields"]["lease"]: r["now"] for r in records if r["event"] in ("return", "revoke")}
    return [
        (r["now"], ends.get(r["fields"]["lease"], r["now"]), " ".join(r["fields"]["axes"]))
        for r in records
        if r["event"] == "grant"
    ]


def _numbers(run: Run, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    count = Counter(record["event"] for record in records)
    expired = sum(r["event"] == "return" and r["fields"]["reason"] == "expired" for r in records)
    steps = max(1, len(run.samples))
    reasons = Counter(reason for sample in run.samples for reason in sample.reasons)
    return {
        "success": run.success,
        "failed_at": run.failed_at,
        "passed": [STAGES[k].axis for _, _, k, result in run.stages if result == "passed"],
        "time_s": round(run.time, 3),
        "steps": len(run.samples),
        "teleports_by_the_demo": len(run.teleports),
        "harm": run.harm,
        "leases": {"granted": count["grant"], "refused": count["refuse"], "expired": expired},
        "refusals": [r["fields"]["reason"] for r in records if r["event"] == "refuse"],
        "share_of_steps_limited_by": {name: round(n / steps, 4) for name, n in sorted(reasons.items())},
        "max_lift": {
            axis: round(max((s.lift[k] for s in run.samples), default=0.0), 6) for k, axis in enumerate(AXES)
        },
        "wall_seconds": round(run.wall, 2),
    }


def write(path: Path, material: Material) -> Path:
    """Write the whole page. Raises `MissingDependency` without Jinja2."""
    sections = {name: section(material) for name, section in SECTIONS.items()}
    return write_page(path, __package__, "report.html.j2", **sections)


def _headline(material: Material) -> dict[str, Any]:
    cards = []
    for run in material.runs:
        refusals = material.metrics[run.kind.name]["refusals"]
        verdict = f"Passed in {run.time:.1f} s" if run.success else f"Failed at {_enumeration(run.failed_at)}"
        if refusals:
            verdict = f"Refused: {refusals[0].replace('-', ' ')}. {verdict}"
        cards.append(
            {"title": run.kind.title, "verdict": verdict, "good": run.success, "story": run.kind.description}
        )
    return {"cards": cards, "poster": _inline(material.poster), "course": COURSE, "nerf": NERF}


def _runs(material: Material) -> list[dict[str, Any]]:
    by_run = records_by_run(material.records)
    return [
        {
            "id": run.kind.name,
            "title": run.kind.title,
            "good": run.success,
            "stills": [
                {"src": _inline(image), "caption": text} for text, image in material.stills[run.kind.name]
            ],
            "commands": command_chart(run),
            "lift": lift_chart(run),
            "leases": len(run.windows),
            "teleports": len(run.teleports),
            "refusals": [
                f"{r['now']:.2f} s: {r['fields']['detail']} ({r['fields']['reason']})"
                for r in by_run[run.kind.name]
                if r["event"] == "refuse"
            ],
            "reasons": _shares(material.metrics[run.kind.name]["share_of_steps_limited_by"]),
        }
        for run in material.runs
    ]


def _shares(shares: dict[str, float]) -> list[dict[str, str]]:
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    return [{"name": REASON_NAMES.get(name, name), "share": f"{share:.0%}"} for name, share in ranked]


def _harm(material: Material) -> list[dict[str, str]]:
    rows = []
    for run in material.runs:
        for event in run.harm_events:
            rows.append(
                {
                    "run": run.kind.title,
                    "time": f"{event.time:.2f}",
                    "type": str(event.harm).replace("_", " "),
                    "on": event.element_id or "the rover",
                    "quantity": f"{event.quantity:.3g} {event.unit}",
                    "threshold": f"{event.threshold:.3g} {event.unit}" if event.threshold else "none allowed",
                }
            )
    return rows


def _audit(material: Material) -> dict[str, Any]:
    hidden = {"lease", "robot", "edits", "region"}
    rows = []
    for record in material.records:
        fields = {k: v for k, v in record["fields"].items() if k not in hidden and v not in (None, [], {})}
        rows.append(
            {
                "seq": record["seq"],
                "now": f"{record['now']:.2f}",
                "event": record["event"],
                "lease": record["fields"].get("lease", ""),
                "text": "; ".join(f"{name} {_text(value)}" for name, value in fields.items()),
                "hash": record["hash"][:12],
            }
        )
    return {"rows": rows, "lines": material.summary.lines, "head": material.summary.head}


def _nerf(material: Material) -> dict[str, Any]:
    spec, robot = NerfSpec.load(NERF), RobotDescription.load("rover")
    rows = []
    for item in enforcement(spec, [row.channel() for row in robot.channels], robot.envelope):
        rows.append(
            _limit(item.channel, item.field, item.axis, item.unit, item.nerfed, item.lifted, item.status)
        )
    groups: list[tuple[str, Any, Any]] = [("command", spec.link(), COMMAND_FIELDS)]
    groups += [(name, spec.sensor(name), SENSOR_FIELDS) for name in spec.sensors]
    for name, section, table in groups:
        for field, limit in section.limits():
            info = table[field]
            lifted = limit.nerfed if limit.lifted is None else limit.lifted
            rows.append(_limit(name, field, info.axis, info.unit, limit.nerfed, lifted, "enforced"))
    return {"name": spec.name, "description": spec.description, "rows": rows}


def _limit(
    on: str, name: str, axis: str, unit: str, nerfed: Value, lifted: Value, status: str
) -> dict[str, str]:
    values = {"nerfed": _value(nerfed), "lifted": _value(lifted)}
    return {"on": on, "limit": name, "axis": axis, "unit": unit, "status": status} | values


def _about(material: Material) -> dict[str, Any]:
    return {
        "version": __version__,
        "seed": material.seed,
        "steps": sum(len(r.samples) for r in material.runs),
    }


SECTIONS: dict[str, Callable[[Material], Any]] = {
    "headline": _headline,
    "runs": _runs,
    "harm": _harm,
    "audit": _audit,
    "nerf": _nerf,
    "about": _about,
}
"""Each section of the page by the name that the template knows it under."""


def _inline(image: Image) -> str:
    """A picture as a data URL."""
    from PIL import Image as Pictures

    buffer = io.BytesIO()
    Pictures.fromarray(image).save(buffer, "JPEG", quality=84, optimize=True)
    return data_uri(buffer.getvalue(), "image/jpeg")


def _enumeration(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _value(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else f"{low(value):.4g} to {high(value):.4g}"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part:g}" for name, part in value.items())
    if isinstance(value, list):
        return "(" + ", ".join(f"{part:.2f}" for part in value) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)


def read_records(path: Path) -> list[dict[str, Any]]:
    """The audit log's records, as they stand in the file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
