"""What colcon's ament_python build needs beyond pyproject.toml."""

from pathlib import Path

from setuptools import Distribution, setup
from setuptools.config.pyprojecttoml import apply_configuration


class _Distribution(Distribution):
    """Reads pyproject.toml where colcon hides it, and keeps to attributes that colcon can read."""

    def parse_config_files(self, *arguments, **keywords):
        super().parse_config_files(*arguments, **keywords)
        if not Path("pyproject.toml").exists():  # a symlinked build folder holds a link to this file only
            apply_configuration(self, Path(__file__).resolve().with_name("pyproject.toml"))
        # colcon reads every attribute back as a Python literal, which a set of specifiers is not.
        self.python_requires = self.metadata.python_requires = str(self.python_requires or "")


LAUNCH_FILES = {"launch": "*.launch.py", "launch/params": "*.yaml", "launch/rviz": "*.rviz"}

setup(
    distclass=_Distribution,
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/nerfbot"]),
        ("share/nerfbot", ["package.xml"]),
        *(
            (f"share/nerfbot/{folder}", sorted(str(path) for path in Path(folder).glob(pattern)))
            for folder, pattern in LAUNCH_FILES.items()
        ),
    ],
)
