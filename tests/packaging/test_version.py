"""One version, stated in three files and in the changelog."""

from __future__ import annotations

import re
from pathlib import Path

import nerfbot

ROOT = Path(__file__).parents[2]


def test_every_file_that_states_the_version_states_the_same_one() -> None:
    stated = {
        "pyproject.toml": r'^version = "(.+)"$',
        "package.xml": r"<version>(.+)</version>",
        "CHANGELOG.md": r"^## \[(\d.*)\]",
    }
    for name, pattern in stated.items():
        match = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        assert match, name
        assert match[1] == nerfbot.__version__, name
