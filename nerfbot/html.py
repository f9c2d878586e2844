"""HTML pages from Jinja2 templates that ship with a package: escaped, strict, written whole or not at all.

What a page says belongs to its report.
"""

from __future__ import annotations

import base64
from importlib.resources import files
from pathlib import Path
from typing import Any

from nerfbot.errors import MissingDependency
from nerfbot.files import write_atomically


def write_page(path: Path, package: str, template: str, **values: Any) -> Path:
    """Fill the template ``template`` of ``package`` with ``values`` and write it to ``path``.

    Raises `MissingDependency` without Jinja2, and Jinja2's own error where ``values`` lacks a name.
    """
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependency(
            "the report needs jinja2, which cannot be imported; install it with pip install 'nerfbot[sim]'"
        ) from error
    text = (files(package) / template).read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(text)
    write_atomically(path, page.render(**values))
    return path


def data_uri(content: bytes, mime: str) -> str:
    """``content`` as a URI that a page can hold itself."""
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
