import pytest
from pydantic import Field, field_validator

from nerfbot.declared import Declared, dotted, shown, suggestion, validate
from nerfbot.errors import InvalidCourse, InvalidSpec


def test_the_closest_word_is_suggested():
    assert suggestion("velocty", ["effort", "velocity"]) == "; did you mean 'velocity'?"
    assert suggestion("zzz", ["effort", "velocity"]) == " (known: effort, velocity)"


class Part(Declared):
    velocity: float | list[float] = 1.0


class Sample(Declared):
    parts: dict[str, Part] = Field(default_factory=dict)
    number: float
    several: tuple[Part, ...] = ()
    even: int = 0

    @field_validator("even")
    @classmethod
    def _is_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("Must be even")
        return value


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({}, "here: number: is required"),
        (
            {"number": "x"},
            "here: number: must be a valid number, unable to parse string as a number, got 'x'",
        ),
        ({"number": 1, "numbr": 2}, "here: numbr: unknown field; did you mean 'number'?"),
        (
            {"number": 1, "parts": {"a": {"velocty": 2}}},
            "here: parts.a.velocty: unknown field; did you mean 'velocity'?",
        ),
        (
            {"number": 1, "parts": {"a.b": {"velocty": 2}}},
            "here: parts[a.b].velocty: unknown field; did you mean 'velocity'?",
        ),
        ({"number": 1, "parts": {"a*": {"zz": 2}}}, "here: parts[a*].zz: unknown field (known: velocity)"),
        ({"number": 1, "several": [{}, {"zz": 2}]}, "here: several[1].zz: unknown field (known: velocity)"),
        ({"number": [1]}, "here: number: must be a valid number, got [1]"),
        ({"number": 1, "even": 3}, "here: even: must be even, got 3"),
        (
            {"number": 1, "parts": {"a": {"velocity": [1.0, float("nan")]}}},
            "here: parts.a.velocity[1]: must be a finite number, got nan",
        ),
    ],
)
def test_a_wrong_value_is_one_line(data, line):
    with pytest.raises(InvalidSpec) as caught:
        validate(Sample, data, "here")
    assert str(caught.value) == line


def test_where_opens_the_path():
    with pytest.raises(InvalidSpec, match=r"^here: top\.number: is required$"):
        validate(Sample, {}, "here", where="top")


def test_valid_data_gives_the_model():
    assert validate(Sample, {"number": 2}, "here").number == 2.0


def test_the_caller_chooses_the_error():
    with pytest.raises(InvalidCourse):
        validate(Sample, {}, "here", InvalidCourse)


def test_the_source_may_depend_on_the_path_that_is_wrong():
    with pytest.raises(InvalidSpec, match=r"^several/0: several\[0\]\.zz: unknown field"):
        validate(Sample, {"number": 1, "several": [{"zz": 2}]}, lambda path: f"{path[0]}/{path[1]}")
    with pytest.raises(InvalidSpec, match=r"^number: is required$"):
        validate(Sample, {}, "")


def test_a_typo_is_reported_rather_than_the_field_that_it_leaves_missing():
    with pytest.raises(InvalidSpec, match=r"^here: numbr: unknown field; did you mean 'number'\?$"):
        validate(Sample, {"numbr": 2}, "here")


def test_numbers_that_are_not_finite_are_refused_and_objects_are_frozen():
    with pytest.raises(InvalidSpec, match="number: must be a finite number, got inf"):
        validate(Sample, {"number": float("inf")}, "here")
    with pytest.raises(ValueError, match="frozen"):
        validate(Sample, {"number": 1}, "here").number = 2.0


def test_a_path_is_written_as_people_write_it_and_long_values_are_cut():
    assert dotted(("task", "proxies", 0, "kind")) == "task.proxies[0].kind"
    assert dotted(("a.b", "c"), "top") == "top[a.b].c"
    assert len(shown("x" * 100)) == 60
