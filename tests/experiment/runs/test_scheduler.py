from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from nerfbot.agents.policy import load_policy
from nerfbot.errors import InvalidCommand
from nerfbot.experiment.analysis.report import write_report
from nerfbot.experiment.protocol.config import (
    ExperimentConfig,
    InvalidExperiment,
    MenuConfig,
    load_experiment,
)
from nerfbot.experiment.runs.results import column, read_rows, write_rows
from nerfbot.experiment.runs.run_folder import CHECKPOINT, read_metrics
from nerfbot.experiment.runs.scheduler import Experiment, jobs_of
from nerfbot.experiment.runs.training import RunPlan, run
from nerfbot.files import owned_folder

SMALL = [
    "steps=2048",
    "worlds=64",
    "points=2",
    "network.kind=mlp",
    "network.hidden=[16]",
    "explorer.signal=reward-surprise",  # the preset's own reads a planning network
    "levels.train=32",
    "levels.validation=16",
    "levels.development=16",
    "levels.test=16",
    "menu.schedule.probability=0.9",
]


def small(*changes):
    return load_experiment("coin-in-corner", [*SMALL, *changes])


def test_jobs_go_seed_by_seed_and_a_matched_arm_comes_last():
    config = small()
    jobs = jobs_of(config, ["random-powers-matched", "plain"], 2)
    assert jobs[:3] == [("powers-explore", 0), ("random-powers", 0), ("plain", 0)]
    assert jobs[-2:] == [("random-powers-matched", 0), ("random-powers-matched", 1)]


def test_a_run_leaves_its_policy_its_curve_and_its_row(tmp_path):
    row = run(RunPlan(small(), "powers-explore", 0, tmp_path))
    assert row["steps"] == 2048
    assert 0.0 <= row["goal"] <= 1.0
    assert row["goal"] + row["proxy"] + row["placebo"] + row["none"] == pytest.approx(1.0)
    assert row["edits_move-coin"] + row["edits_teleport"] + row["edits_rewrite-cell"] > 0
    assert [point["steps"] for point in read_metrics(tmp_path)] == [1024, 2048]
    assert (tmp_path / "policy.safetensors").exists()
    assert not (tmp_path / CHECKPOINT).exists()


def test_the_same_plan_gives_the_same_row_and_another_seed_another(tmp_path):
    rows = [
        run(RunPlan(small(), "random-powers", seed, tmp_path / str(n))) for n, seed in enumerate((0, 0, 1))
    ]
    for row in rows:
        del row["seconds"]
    assert rows[0] == rows[1]
    assert {**rows[2], "seed": 0} != rows[0]


def test_a_run_goes_on_the_gpu_where_there_is_one_and_says_so_where_there_is_none(tmp_path):
    plan = RunPlan(small("device=cuda"), "powers-explore", 0, tmp_path / "run")
    if torch.cuda.is_available():
        assert run(plan)["steps"] == 2048
        assert load_policy(tmp_path / "run").device.type == "cpu"
    else:
        with pytest.raises(InvalidCommand, match=r"^device: 'cuda' is not there \(there are: cpu\)$"):
            run(plan)


def test_a_plain_run_never_sees_goal_and_proxy_apart(tmp_path):
    row = run(RunPlan(small(), "plain", 0, tmp_path))
    assert row["alpha_eff_steps"] == 0.0
    assert run(RunPlan(small(), "randomised-100", 0, tmp_path / "r"))["alpha_eff_steps"] > 0.9


def test_arms_and_seeds_run_in_processes_and_go_on_where_rows_are_missing(tmp_path):
    shown = []
    first = Experiment(small(), tmp_path, ["plain"], 1, processes=1)
    assert len(first.run(lambda progress: shown.append(len(progress.done)))) == 1
    assert shown[-1] == 1
    before = read_rows(tmp_path / "results.csv")[0]
    second = Experiment(small(), tmp_path, ["plain", "random-policy"], 1, processes=1)
    rows = second.run(lambda progress: None)
    assert [row["arm"] for row in rows] == ["plain", "random-policy"]
    assert rows[0] == before
    report = write_report(tmp_path, small(), rows).read_text()
    assert "random-policy" in report
    assert 'src="http' not in report
    assert (tmp_path / "figures" / "robustness-plane.svg").exists()


@pytest.mark.slow
@pytest.mark.realtime
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for workers through /proc")
def test_workers_end_with_an_experiment_that_is_killed(tmp_path):
    words = ["coin-in-corner", "--arms", "plain", "--seeds", "2", "--processes", "2", "--out", str(tmp_path)]
    changes = [word for change in [*SMALL, "steps=100000000"] for word in ("--set", change)]
    code = "import sys; from nerfbot.cli import main; sys.exit(main(['experiment', *sys.argv[1:]]))"
    experiment = subprocess.Popen([sys.executable, "-c", code, *words, *changes])
    deadline = time.monotonic() + 90
    try:
        while (
            len(workers := children(experiment.pid)) < 2 or not (tmp_path / "runs" / "plain" / "1").exists()
        ):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        experiment.kill()
        experiment.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def children(parent):
    """The processes that a process has started, but Python's own resource tracker."""
    children = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            its_own = status.read_text().rpartition(")")[2].split()[1] == str(parent)
            if its_own and b"spawn_main" in (status.parent / "cmdline").read_bytes():
                children.append(int(status.parent.name))
    return children


def test_a_second_experiment_in_the_same_folder_is_refused(tmp_path):
    with owned_folder(tmp_path), pytest.raises(InvalidExperiment, match="another process writes"):
        Experiment(small(), tmp_path, ["plain"], 1, 1).run(lambda progress: None)
    assert not (tmp_path / "config.yaml").exists()
    with owned_folder(tmp_path):
        pass


def test_results_of_something_else_are_not_added_to(tmp_path):
    row = run(RunPlan(small(), "random-policy", 0, tmp_path / "runs"))
    write_rows(tmp_path / "results.csv", [{**row, "commit": ""}])
    (tmp_path / "config.yaml").write_text((tmp_path / "runs" / "config.yaml").read_text())
    import yaml

    earlier = yaml.safe_load((tmp_path / "config.yaml").read_text())["experiment"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(earlier))
    with pytest.raises(InvalidExperiment, match="holds rows of another 'ppo'"):
        Experiment(small("ppo.clip=0.3"), tmp_path, ["plain"], 1)
    with pytest.raises(InvalidExperiment, match="development levels, not the test ones"):
        Experiment(small(), tmp_path, ["plain"], 1, final=True)


@pytest.mark.parametrize("name", ["coin-in-corner", "yellow-coin", "keys-and-chests", "finish-pad"])
def test_rows_can_be_added_to_the_committed_results(name):
    """Also where a field of the configuration is younger than they are."""
    folder = Path(__file__).parents[3] / "results" / name
    experiment = Experiment(load_experiment(name), folder, ["plain"], 1, final=True)
    assert len(experiment.rows) > 10


def test_a_job_that_fails_is_told_and_the_others_go_on(tmp_path):
    menu = MenuConfig(powers=("move-coin",), schedule={"kind": "occasional", "probability": 0.5})
    config = small().model_copy(update={"menu": menu.model_copy(update={"schedule": {"kind": "sometimes"}})})
    failed = {}
    work = Experiment(config, tmp_path, ["random-policy", "powers-explore"], 1, processes=1)
    rows = work.run(lambda progress: failed.update(progress.failed))
    assert [row["arm"] for row in rows] == ["random-policy"]
    assert "sometimes" in failed[("powers-explore", 0)]


def test_an_experiment_without_its_ceiling_is_measured_as_it_is(tmp_path):
    row = run(RunPlan(small(), "random-policy", 0, tmp_path))
    write_rows(tmp_path / "results.csv", [{**row, "commit": ""}])
    rows = read_rows(tmp_path / "results.csv")
    assert column(rows, "random-policy", "goal_rate")[0] == pytest.approx(row["goal"], abs=1e-5)


def test_the_default_configuration_is_a_whole_experiment():
    assert ExperimentConfig(name="x", course="corner").network.kind == "mlp"


def test_a_course_on_which_goal_and_proxy_never_differ_is_refused(tmp_path):
    with pytest.raises(InvalidExperiment, match="course = 'speed': goal and proxy are never apart") as caught:
        Experiment(small("course=speed"), tmp_path, ["plain"], 1)
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())
    Experiment(small("course=scarce-keys"), tmp_path, ["plain"], 1)  # apart once a key too many is there


def test_a_yoked_run_starts_from_the_states_of_the_run_it_is_yoked_to(tmp_path):
    config = small("menu.powers=[move-coin]", "steps=8192")
    rows = Experiment(config, tmp_path, ["yoked"], 1, processes=1).run(lambda progress: None)
    assert [row["arm"] for row in rows] == ["powers-explore", "yoked"]
    assert float(rows[1]["alpha_eff_steps"]) > 0
    assert float(rows[1]["edits_move-coin"]) == 0


def test_what_is_nerfed_gets_a_capability_curve_and_the_report_shows_films(tmp_path):
    config = load_experiment("finish-pad", [*SMALL, "network.kind=mlp", "points=1"])
    rows = Experiment(config, tmp_path, ["plain", "powers-explore"], 1, processes=1).run(
        lambda progress: None
    )
    for lift in ("0", "0.4", "1"):
        for part in ("train", "test"):
            assert 0.0 <= float(rows[0][f"lift_{lift}_{part}_goal"]) <= 1.0
            assert 0.0 <= float(rows[0][f"lift_{lift}_{part}_harm"]) <= 1.0
    page = write_report(tmp_path, config, rows).read_text()
    assert (tmp_path / "figures" / "capability.png").exists()
    assert page.count("data:image/gif;base64,") == 2
    assert (tmp_path / "films" / "plain.gif").read_bytes().startswith(b"GIF8")


def test_a_planning_policy_that_uses_powers_for_reward_learns_too(tmp_path):
    planning = ["network.kind=planning", "network.hidden=[]", "network.channels=1"]
    row = run(RunPlan(small(*planning), "powers", 0, tmp_path))
    assert row["steps"] == 2048
    assert sum(row[f"edits_{edit}"] for edit in ("move-coin", "rewrite-cell")) > 0
