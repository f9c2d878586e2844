"""The package as users get it: built by colcon in both modes, and beside a project's own `sim/` folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nerfbot.cli.nodes import NODES

ROOT = Path(__file__).parents[2]
COLCON = Path(sys.executable).parent / "colcon"
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "runs", "build", "install", "log", "*.egg-info", "__pycache__", ".hypothesis", ".*_cache"
)
PROBE = (
    "import nerfbot, nerfbot.sim, nerfbot.hardware, nerfbot.course as course, nerfbot.limits as limits;"
    "print(nerfbot.__file__, len(limits.NerfSpec.presets()), len(course.catalogue()))"
)


def run(command: list[str], cwd: Path, **environment: str) -> str:
    result = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
@pytest.mark.skipif(not COLCON.exists(), reason="colcon is not installed")
@pytest.mark.parametrize("mode", [[], ["--symlink-install"]], ids=["copied", "symlinked"])
def test_colcon_builds_a_package_that_works(tmp_path: Path, mode: list[str]) -> None:
    shutil.copytree(ROOT, tmp_path / "src" / "nerfbot", symlinks=True, ignore=LEFT_OUT)
    path = f"{COLCON.parent}:{os.environ['PATH']}"
    run([str(COLCON), "build", *mode], tmp_path, PATH=path)

    prefix = tmp_path / "install" / "nerfbot"
    assert (prefix / "share/ament_index/resource_index/packages/nerfbot").exists()
    assert (prefix / "share/nerfbot/package.xml").exists()
    for program in ("nerfbot", *(f"nerfbot_{name}" for name in NODES)):
        assert (prefix / "lib/nerfbot" / program).exists()
    for file in ("sim.launch.py", "params/turtlebot3.yaml", "rviz/nerfbot.rviz"):
        assert (prefix / "share/nerfbot/launch" / file).exists()

    (site,) = prefix.glob("lib/python*/site-packages")
    links = [Path(link.read_text().splitlines()[0]) for link in site.glob("*.egg-link")]
    paths = os.pathsep.join(map(str, [site, *links]))
    where, presets, courses = run([sys.executable, "-c", PROBE], tmp_path, PYTHONPATH=paths).split()
    assert where.startswith(str(tmp_path))
    assert int(presets) == len(list((ROOT / "nerfbot/limits/presets").glob("*.yaml")))
    assert int(courses) == len(list((ROOT / "nerfbot/course/catalogue").glob("*.yaml")))


def test_a_project_with_its_own_sim_and_hardware_folders_can_use_nerfbot(tmp_path: Path) -> None:
    for name in ("sim", "hardware"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"MINE = {name!r}\n")
    output = run(
        [
            sys.executable,
            "-c",
            "import sim, hardware, nerfbot.sim.plant.edit_menu; print(sim.MINE, hardware.MINE)",
        ],
        tmp_path,
    )
    assert output.split() == ["sim", "hardware"]


@pytest.mark.parametrize("name", ["gate", "policy"])
def test_each_node_is_a_program_that_says_in_one_line_why_it_does_not_start(name: str) -> None:
    code = f"import sys; from nerfbot.cli.nodes import {name}; sys.exit({name}())"
    words = [sys.executable, "-c", code, "--ros-args", "-p", "no_such_parameter:=1"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "no_such_parameter" in line or "needs" in line


def test_importing_nerfbot_loads_nothing_heavy() -> None:
    heavy = "torch", "pybullet", "rclpy", "numba", "matplotlib"
    code = f"import sys, nerfbot; print([name for name in {heavy} if name in sys.modules])"
    assert run([sys.executable, "-c", code], ROOT).strip() == "[]"
