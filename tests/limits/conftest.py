"""Order: the exact examples of single modules first, the laws of the whole limiter last."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name.startswith("test_laws"))  # stable
