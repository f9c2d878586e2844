"""docs/courses.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from nerfbot.course import catalogue, load_plan, parse
from nerfbot.course.course import Action
from nerfbot.course.elements import ELEMENTS
from nerfbot.course.levels import LEVELS
from nerfbot.course.placements import DRAWN_FIELDS, Share, Where
from nerfbot.course.plan import Variation
from nerfbot.course.scatter import ATTEMPTS
from nerfbot.course.task import Task

TEXT = (Path(__file__).parents[2] / "docs" / "courses.md").read_text()


@pytest.mark.parametrize("kind", ELEMENTS)
def test_every_element_has_a_row_with_its_layer_and_all_its_properties(kind: str) -> None:
    rows = re.findall(rf"^\| `{kind}` \|(.*)$", TEXT, flags=re.M)
    assert len(rows) == 1
    layer, properties, _ = rows[0].split("|")[:3]
    fields = [name for name, field in ELEMENTS[kind].model_fields.items() if not field.exclude]
    assert layer.strip() == ELEMENTS[kind].layer
    assert all(f"`{name}`" in properties for name in fields)


def test_every_task_key_variation_and_action_is_described() -> None:
    for name in (*Task.model_fields, *Variation.model_fields, *get_args(Action)):
        assert re.search(rf"^\| [^|]*`{name}`", TEXT, flags=re.M), name


def test_every_key_of_drawn_and_scattered_elements_is_described() -> None:
    for name in (*Where.model_fields, *DRAWN_FIELDS, "beside", "training"):
        assert re.search(rf"^\| [^|]*`{name}`[^|]*\|", TEXT, flags=re.M), name
    assert all(f"{name}:" in TEXT for name in ("scatter", *Share.model_fields))
    assert f"{ATTEMPTS} attempts" in TEXT
    assert f"seeds {LEVELS[0]} to {LEVELS[-1]}" in TEXT


def test_every_family_of_the_catalogue_is_named() -> None:
    families = {name for name in catalogue() if load_plan(name).is_family}
    assert len(families) == 7
    assert all(f"`{name.removesuffix('-13')}`" in TEXT for name in families)


def test_the_example_is_a_course() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.S)
    course = parse(example).draw(seed=1)
    assert course.needs == ("strength",)
    assert len(course.of("coin")) == 1
