"""What all tests share: one hypothesis profile, so that a failure here is a failure everywhere."""

import pytest
from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "fast",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("mutation", settings.get_profile("fast"), phases=[Phase.explicit, Phase.generate])
settings.load_profile("fast")


REAL_TIME = ("hardware", "bridge")
"""Folders whose tests run processes against the clock of a machine that does other work too."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try a failed one of these twice more: what failed for want of a core passes then, a fault does not."""
    for item in items:
        if not set(REAL_TIME).isdisjoint(item.path.parts):
            item.add_marker(pytest.mark.flaky(reruns=2))
