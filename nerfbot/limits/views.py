"""Objects that keep NumPy views of arrays they own: copies and pickles of them stay views."""

from __future__ import annotations

from typing import Any, ClassVar


class KeepsViews:
    """Base of a class that keeps views for speed.

    A copy of a view is an array of its own, which nothing rewrites. So the attributes named in ``VIEWS`` are
    left out of copies and pickles, and `_bind_views` makes them anew.
    """

    VIEWS: ClassVar[tuple[str, ...]]

    def _bind_views(self) -> None:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self.VIEWS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._bind_views()
