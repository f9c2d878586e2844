"""The grid's benchmark in small: its figures by name, and what becomes of peers that are there or missing."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math

import pytest

from nerfbot.bench import grid, peers
from nerfbot.cli import main

OURS = {
    "steps_per_s_plain",
    "steps_per_s_powers",
    "granted_share",
    "steps_per_s_powers_nerfed",
    "steps_per_s_vector_env",
    "steps_per_s_100k",
    "share_of_best_100k",
    "steps_per_s_single",
}

ANSWERS = """
import json, sys
print(json.dumps({"peer": f"{sys.argv[1]} 1.0"}), flush=True)
for line in sys.stdin:
    print(json.dumps(1000.0 * float(line)), flush=True)
"""


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Few worlds, one short round, and an environment without peers."""
    monkeypatch.setattr(grid, "WORLDS", 64)
    monkeypatch.setattr(grid, "MANY", 128)
    monkeypatch.setattr(grid, "SIZES", (64, 128))
    monkeypatch.setattr(grid, "ROUNDS", 1)
    monkeypatch.setattr(grid, "SECONDS", 0.01)
    monkeypatch.setattr(grid, "PEERS", {"ratio_navix": "navix"})
    monkeypatch.setattr(peers, "ENVIRONMENT", tmp_path / "none")
    return tmp_path


def test_json_holds_every_figure_in_the_form_of_all_benchmarks_and_leaves_out_missing_peers(small, capsys):
    assert main(["bench", "grid", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    names = {figure["name"] for figure in figures}
    assert names >= OURS
    assert not [name for name in names if name.startswith("ratio")]
    for figure in figures:
        assert set(figure) == {"name", "value", "unit", "better", "against"}
        assert figure["value"] > 0.0
        assert figure["better"] in ("higher", "lower")
        assert figure["against"] is None or set(figure["against"]) == {"name", "value"}


def test_where_there_is_no_terminal_its_progress_comes_as_lines(small, monkeypatch, capsys):
    monkeypatch.setattr(importlib.import_module("nerfbot.cli.bench"), "REPORT_PERIOD", 0.0)
    assert main(["bench", "grid", "--json"]) == 0
    assert all(line.startswith("grid: ") for line in capsys.readouterr().err.splitlines() if line.strip())


def test_a_peer_that_is_there_is_measured_beside_ours(small, monkeypatch):
    script = small / "answers.py"
    script.write_text(ANSWERS)
    monkeypatch.setattr(grid, "SCRIPT", script)
    figures = {figure.name: figure for figure in grid._batched(lambda _: None)}
    ratio, plain = figures["ratio_navix"], figures["steps_per_s_plain"]
    assert ratio.against is not None
    assert (ratio.against.name, ratio.against.value) == ("navix 1.0, 64 worlds", 10.0)
    assert ratio.value == pytest.approx(plain.value / 10.0)


def test_powers_are_granted_in_at_least_30_percent_of_the_steps(small):
    powered = grid._Powered(512)
    for _ in range(30):
        powered.run()
    assert 0.3 <= powered.share <= 1.0


def test_a_peer_that_ends_on_the_way_gives_no_number(small):
    script = small / "ends.py"
    script.write_text('print(\'{"peer": "short 1.0"}\', flush=True)')
    with peers.Peer(script, "short", 1) as peer:
        assert peer.title == "short 1.0, 1 world"
        assert math.isnan(peer.rate(0.01))


def test_the_script_of_peers_says_what_it_lacks(small):
    with peers.Peer("peers_grid.py", "minigrid", 1) as peer:
        assert (peer.title is None) == (importlib.util.find_spec("minigrid") is None)
