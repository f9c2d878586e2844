import pytest

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
def test_malformed_yaml_is_reported_with_its_place(written, text, line):
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
