"""The simulated rover under the chain with the hardware's clocks. A view of the bring-up plan."""

from nerfbot.bridge.ros.launch_description import description


def generate_launch_description():  # noqa: D103 (the name that ros2 launch looks for)
    return description("hil")
