"""The errors a user meets. Each is one line that names the field or place and the value received.

Only the base classes and the text of any exception live here; a subpackage that needs a finer error derives
its own from these.
"""

from __future__ import annotations


class NerfbotError(Exception):
    """Base of every error raised on purpose; its text is one line fit to be shown to a user."""


class InvalidSpec(NerfbotError, ValueError):
    """A specification, envelope or preset that cannot be used; names the file, the field and the value."""


class InvalidCourse(NerfbotError, ValueError):
    """A course file that cannot be used; names the file, line and column."""


class InvalidCommand(NerfbotError, ValueError):
    """A command, action, measurement or time of the wrong shape, type or value."""


class LeaseError(NerfbotError, ValueError):
    """A lease or schedule that is malformed (a lease that is merely refused is not an error)."""


class AuditLogError(NerfbotError, ValueError):
    """An audit log whose chain does not hold; names the line."""


class MissingDependency(NerfbotError, ImportError):
    """An optional part was used without the package that it needs; says which extra installs it."""


def one_line(problem: Exception, longest: int | None = 200) -> str:
    """An exception's text in one line of at most ``longest`` characters, or its kind where it has none."""
    return " ".join(str(problem).split())[:longest] or type(problem).__name__
