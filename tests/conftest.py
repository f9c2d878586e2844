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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run a failed test against real time up to twice more: a busy machine fails it once, a fault always."""
    for item in items:
        if item.get_closest_marker("realtime"):
            item.add_marker(pytest.mark.flaky(reruns=2))
