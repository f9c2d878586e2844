"""A bring-up of ROS 2 processes, and the nodes plant and policy.

The nodes of the safety path live in nerfbot.hardware.ros.
"""

NODES = {
    "nerf": "nerfbot.hardware.ros.nerf_node",
    "gate": "nerfbot.hardware.ros.gate_node",
    "supervisor": "nerfbot.hardware.ros.supervisor_node",
    "recorder": "nerfbot.hardware.ros.recorder_node",
    "plant": "nerfbot.bridge.ros.plant_node",
    "policy": "nerfbot.bridge.ros.policy_node",
}
"""The module of each node, by the node's name."""
