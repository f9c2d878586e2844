"""A report's page: titled sections of text, tables, pictures and films in one HTML file that needs no
other.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

_KINDS = {".png": ("image", "image/png"), ".gif": ("image", "image/gif"), ".mp4": ("video", "video/mp4")}


@dataclass(frozen=True)
class Table:
    """Headings, and rows of as many texts; the first column is left-aligned, the others are numbers."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Medium:
    """A picture or film by its data URI."""

    caption: str
    uri: str
    kind: str

    @classmethod
    def of(cls, path: Path, caption: str) -> Medium:
        """From a .png, .gif or .mp4 file."""
        kind, mime = _KINDS[path.suffix]
        return cls(caption, f"data:{mime};base64,{base64.b64encode(path.read_bytes()).decode()}", kind)


@dataclass(frozen=True)
class Section:
    """A part of the page, in this order: its paragraphs, its tables, its pictures and films."""

    title: str
    texts: Sequence[str] = ()
    tables: Sequence[Table] = ()
    media: Sequence[Medium] = field(default=())


def write_page(path: Path, title: str, lead: str, sections: Sequence[Section]) -> Path:
    """Write the page, whole or not at all."""
    template = (files("nerfbot.experiment.analysis") / "page.html.j2").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(template)
    part = path.with_name(path.name + ".part")
    part.write_text(page.render(title=title, lead=lead, sections=sections), encoding="utf-8")
    part.replace(path)
    return path


def shown(value: Any, digits: int = 2) -> str:
    """A number as a table shows it; nothing where it is undefined."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
