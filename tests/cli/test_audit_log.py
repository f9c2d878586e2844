"""`nerfbot audit-log verify`: exit codes, one line of text, or JSON."""

from __future__ import annotations

import json

import pytest

from nerfbot.cli import main
from nerfbot.powers import AuditLog


@pytest.fixture
def log(tmp_path):
    with AuditLog(tmp_path / "audit.jsonl") as log:
        log.append("grant", 1.0, lease=1)
        log.append("return", 2.0, lease=1)
    return log


@pytest.fixture
def verify(capsys):
    """Runs the command: exit code, standard output, standard error."""

    def call(*arguments):
        code = main(["audit-log", "verify", *map(str, arguments)])
        return code, *capsys.readouterr()

    return call


def test_chain_that_holds_exits_0(log, verify):
    assert verify(log.path)[:2] == (0, f"{log.path}: the chain of 3 lines holds, head {log.head}\n")


def test_chain_that_holds_as_json(log, verify):
    code, output, _ = verify(log.path, "--json", "--head", log.head)
    assert code == 0
    assert json.loads(output) == {"path": str(log.path), "holds": True, "lines": 3, "head": log.head}


def test_broken_chain_exits_1_with_one_line_that_names_the_line(log, verify):
    log.path.write_text(log.path.read_text().replace('"lease":1', '"lease":2', 1))
    code, output, error = verify(log.path)
    assert (code, output) == (1, "")
    assert error.startswith(f"{log.path}: line 2: hash: expected ")
    assert error.count("\n") == 1


def test_broken_chain_as_json(log, verify):
    log.path.write_text(log.path.read_text().replace('"lease":1', '"lease":2', 1))
    code, output, _ = verify(log.path, "--json")
    assert code == 1
    answer = json.loads(output)
    assert (answer["path"], answer["holds"], answer["line"]) == (str(log.path), False, 2)
    assert answer["error"].startswith(f"{log.path}: line 2: hash: ")


def test_other_head_exits_1(log, verify):
    assert verify(log.path, "--head", "0" * 64)[0] == 1


@pytest.mark.parametrize("head", ["0" * 63, "0" * 65, "G" * 64, "A" * 64, ""])
def test_head_that_is_no_hash_is_bad_input(log, head, verify):
    code, _, error = verify(log.path, "--head", head)
    assert code == 2
    assert error == f"nerfbot: --head = {head!r}: must be 64 hexadecimal digits in lower case\n"


def test_unreadable_path_is_bad_input(tmp_path, verify):
    code, _, error = verify(tmp_path / "none.jsonl")
    assert code == 2
    assert error == f"nerfbot: {tmp_path}/none.jsonl: No such file or directory\n"
