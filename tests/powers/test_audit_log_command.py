from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from nerfbot.cli.audit_log import app
from nerfbot.errors import NerfbotError
from nerfbot.powers import AuditLog


@pytest.fixture
def log(tmp_path):
    with AuditLog(tmp_path / "audit.jsonl") as log:
        log.append("grant", 1.0, lease=1)
        log.append("return", 2.0, lease=1)
    return log


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_chain_that_holds_exits_0(log):
    result = call("verify", log.path)
    assert result.exit_code == 0
    assert result.stdout == f"{log.path}: the chain of 3 lines holds, head {log.head}\n"


def test_chain_that_holds_as_json(log):
    result = call("verify", log.path, "--json", "--head", log.head)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"path": str(log.path), "holds": True, "lines": 3, "head": log.head}


def test_broken_chain_exits_1_with_one_line_that_names_the_line(log):
    log.path.write_text(log.path.read_text().replace('"lease":1', '"lease":2', 1))
    result = call("verify", log.path)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"{log.path}: line 2: hash: expected ")
    assert result.stderr.count("\n") == 1


def test_broken_chain_as_json(log):
    log.path.write_text(log.path.read_text().replace('"lease":1', '"lease":2', 1))
    result = call("verify", log.path, "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert (answer["path"], answer["holds"], answer["line"]) == (str(log.path), False, 2)
    assert answer["error"].startswith(f"{log.path}: line 2: hash: ")


def test_other_head_exits_1(log):
    assert call("verify", log.path, "--head", "0" * 64).exit_code == 1


@pytest.mark.parametrize("head", ["0" * 63, "0" * 65, "G" * 64, "A" * 64, ""])
def test_head_that_is_no_hash_is_bad_input(log, head):
    result = call("verify", log.path, "--head", head)
    assert isinstance(result.exception, NerfbotError)
    assert str(result.exception) == f"--head = {head!r}: must be 64 hexadecimal digits in lower case"


def test_unreadable_path_is_bad_input(tmp_path):
    result = call("verify", tmp_path / "none.jsonl")
    assert isinstance(result.exception, NerfbotError)
    assert str(result.exception) == f"{tmp_path}/none.jsonl: No such file or directory"
