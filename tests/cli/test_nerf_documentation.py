"""docs/nerf.md tells every limit as the table in the code has it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from nerfbot.limits import Channel, NerfSpec
from nerfbot.limits.fields import CHANNEL_FIELDS, COMMAND_FIELDS, SENSOR_FIELDS, FieldInfo

PAGE = (Path(__file__).parents[2] / "docs" / "nerf.md").read_text(encoding="utf-8")
TABLES = {"channels": CHANNEL_FIELDS, "command": COMMAND_FIELDS, "sensors": SENSOR_FIELDS}
LINEAR, TURNING = Channel("x", "velocity", "m/s"), Channel("z", "velocity", "rad/s")


def unit(info: FieldInfo) -> str:
    if info.unit == "{unit}":
        return "the command's"
    return " or ".join(dict.fromkeys((info.unit_on(LINEAR), info.unit_on(TURNING))))


def lifted(name: str, info: FieldInfo) -> str:
    if name.endswith(".duration"):
        return "as nerfed"
    if info.lifted is not None:
        return f"{info.lifted:g}"
    return "envelope" if info.envelope else "required"


@pytest.mark.parametrize("section", TABLES)
def test_table_says_what_the_code_says(section: str) -> None:
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `(\S+)` \| (.+?) \| (.+?) \| (.+?) \| .+ \|$", text, re.MULTILINE)
    known = [(name, info.axis, unit(info), lifted(name, info)) for name, info in TABLES[section].items()]
    assert documented == known


def test_example_is_a_valid_specification() -> None:
    example = PAGE.split("```yaml\n")[1].split("```")[0]
    spec = NerfSpec.parse(yaml.safe_load(example))
    assert spec.channel("linear.x").velocity.at(0.0) == pytest.approx(0.4)
