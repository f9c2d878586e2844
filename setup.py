from setuptools import setup

# Everything is in pyproject.toml; colcon's ament_python build wants this file and these two data files.
setup(
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/nerfbot"]),
        ("share/nerfbot", ["package.xml"]),
    ],
)
