import os
import time
from pathlib import Path

import pytest

from nerfbot.cli import main
from nerfbot.course import load_course
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


def bomb(levels: int, opening: str = "[", closing: str = "]") -> str:
    """Each level names the one before ten times."""
    rows = ["x0: &a0 [lol, lol]"]
    rows += [f"x{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, levels)]
    return "\n".join(rows) + f"\nname: *a{levels - 1}\n"


ATTACKS = {
    "alias bomb": (bomb(8), "an alias makes this document endless or enormous"),
    "a chain of aliases": (
        "a0: &a0 [x]\n" + "".join(f"a{k}: &a{k} [*a{k - 1}]\n" for k in range(1, 2000)),
        "an alias makes this document endless or enormous",
    ),
    "recursion": ("name: &a [*a]\n", "an alias makes this document endless or enormous"),
    "merged": (
        "b: &b {a: 1}\nm0: &m0 {<<: [*b, *b]}\n"
        + "".join(f"m{k}: &m{k} {{<<: [{', '.join([f'*m{k - 1}'] * 10)}]}}\n" for k in range(1, 8)),
        "an alias makes this document endless or enormous",
    ),
    "deep lists": ("name: " + "[" * 3000 + "]" * 3000, "is nested more than 100 deep"),
    "deep mappings": ("name: " + "{a: " * 800 + "1" + "}" * 800, "is nested more than 100 deep"),
    "deep blocks": ("".join("  " * k + "a:\n" for k in range(300)), "is nested more than 100 deep"),
    "a huge number": ("name: " + "9" * 5000, "a number of 5000 digits: must have at most 100"),
    "a date that is none": ("name: 2001-99-99", "cannot read a value"),
    "a terminal's escape": ('name: "\\e[31mRED\\e]0;title\\a"', "must not hold control characters"),
    "a text that turns round": ('name: "a\\u202eb"', "must not hold control characters"),
    "a key with an escape": ('"\\e[2J": 1', "must not hold control characters"),
    "a null": ('name: "a\\0b"', "must not hold control characters"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_file_that_attacks_its_reader_is_refused_at_once_in_one_line(written, attack):
    text, line = ATTACKS[attack]
    path, began = written(text), time.process_time()
    with pytest.raises(InvalidSpec) as caught:
        read_yaml(path)
    assert line in line_of(caught, path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    assert time.process_time() - began < 2.0
    with pytest.raises(InvalidCourse) as refused:
        load_course(path)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


def test_what_is_no_plain_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", Path("/dev/zero"), tmp_path):
        with pytest.raises(InvalidSpec, match="is not a file"):
            read_yaml(path)
    huge = tmp_path / "huge.yaml"
    with huge.open("wb") as file:
        file.truncate(10**9)
    with pytest.raises(InvalidSpec, match="has 1000000000 bytes"):
        read_yaml(huge)


def test_an_error_that_quotes_an_escape_shows_it_as_text(capsys):
    assert main(["nerf", "show", "\x1b[31mred\x1b]0;title\x07.yaml"]) == 2
    assert capsys.readouterr().err.strip().isprintable()
