"""The chain against a robot's own topics; the envelope is in params_file. A view of the bring-up plan."""

from nerfbot.bridge.ros.launch_description import description


def generate_launch_description():  # noqa: D103 (the name that ros2 launch looks for)
    return description("hardware")
