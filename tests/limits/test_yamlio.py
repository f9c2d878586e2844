import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from nerfbot.declared import suggestion, validate
from nerfbot.errors import InvalidCourse, InvalidSpec
from nerfbot.files import read_yaml


@pytest.fixture
def written(tmp_path):
    def write(text: str | bytes):
        path = tmp_path / "n.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def line_of(error: pytest.ExceptionInfo, path) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text.replace(str(path), path.name)


def test_plain_yaml_is_read(written):
    text = "base: &b {x: 1.5}\nother: {<<: *b, y: [1, µ]}\n"
    assert read_yaml(written(text)) == {"base": {"x": 1.5}, "other": {"x": 1.5, "y": [1, "µ"]}}
    assert read_yaml(written("{a: {x: 1}, b: {x: 2}}")) == {"a": {"x": 1}, "b": {"x": 2}}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: [", "n.yaml:1:8: expected the node content, but found '<stream end>'"),
        ("name: a\nname: b", "n.yaml:2:1: key 'name' is given twice"),
        ("a:\n  b: 1\n  c: 2\n  b: 3", "n.yaml:4:3: key 'b' is given twice"),
        ("? [a]\n: b", "n.yaml:1:3: a key must be plain text"),
        ("name: a\n\tb: c", "n.yaml:2:1: found character '\\t' that cannot start any token"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("a: \x01", "n.yaml: unacceptable character #x0001: special characters are not allowed"),
        (b"\xff\xfe\x00", "n.yaml: cannot be read: 'utf-8' codec can't decode byte 0xff in position 0"),
    ],
)
def test_malformed_yaml_is_told_with_its_place(written, text, line):
    path = written(text)
    with pytest.raises(InvalidSpec) as caught:
        read_yaml(path)
    assert line in line_of(caught, path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InvalidSpec) as caught:
        read_yaml(tmp_path / "missing.yaml")
    assert str(caught.value) == f"{tmp_path}/missing.yaml: cannot be read: No such file or directory"


def test_the_caller_chooses_the_error(tmp_path):
    with pytest.raises(InvalidCourse):
        read_yaml(tmp_path / "missing.yaml", InvalidCourse)
    with pytest.raises(InvalidCourse):
        validate(Sample, {}, "here", InvalidCourse)


def test_the_closest_word_is_suggested():
    assert suggestion("velocty", ["effort", "velocity"]) == "; did you mean 'velocity'?"
    assert suggestion("zzz", ["effort", "velocity"]) == " (known: effort, velocity)"


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    velocity: float | list[float] = 1.0


class Sample(BaseModel):
    model_config = ConfigDict(extra="forbid")
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
def test_a_wrong_value_is_told_in_one_line(data, line):
    with pytest.raises(InvalidSpec) as caught:
        validate(Sample, data, "here")
    assert str(caught.value) == line


def test_where_opens_the_path():
    with pytest.raises(InvalidSpec, match=r"^here: top\.number: is required$"):
        validate(Sample, {}, "here", where="top")


def test_valid_data_gives_the_model():
    assert validate(Sample, {"number": 2}, "here").number == 2.0
