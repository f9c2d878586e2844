"""Learning: networks, PPO, explorers and their signals, saved policies. Needs the extra `train`.

It knows environments, not plants: whatever Gymnasium can step in a batch can be learned here.
"""

from importlib.util import find_spec

from nerfbot.errors import MissingDependency

for _needed in ("torch", "safetensors"):
    if find_spec(_needed) is None:
        raise MissingDependency(f"nerfbot.agents needs {_needed}; install nerfbot[train]")
