"""A report's page: titled sections of text, tables, pictures and films in one HTML file that needs no
other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerfbot import html

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
        return cls(caption, html.data_uri(path.read_bytes(), mime), kind)


@dataclass(frozen=True)
class Section:
    """A part of the page, in this order: its paragraphs, its tables, its pictures and films."""

    title: str
    texts: Sequence[str] = ()
    tables: Sequence[Table] = ()
    media: Sequence[Medium] = field(default=())


def write_page(path: Path, title: str, lead: str, sections: Sequence[Section]) -> Path:
    """Write the page, whole or not at all."""
    return html.write_page(path, __package__, "page.html.j2", title=title, lead=lead, sections=sections)


def shown(value: Any, digits: int = 2) -> str:
    """A number as a table shows it; nothing where it is undefined."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
