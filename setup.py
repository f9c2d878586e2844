"""What colcon's ament_python build needs beyond pyproject.toml."""

from setuptools import Distribution, setup


class _Distribution(Distribution):
    """A distribution whose attributes can be written as Python literals, which is how colcon reads them."""

    def parse_config_files(self, *arguments, **keywords):
        super().parse_config_files(*arguments, **keywords)
        self.python_requires = self.metadata.python_requires = str(self.python_requires or "")


setup(
    distclass=_Distribution,
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/nerfbot"]),
        ("share/nerfbot", ["package.xml"]),
    ],
)
