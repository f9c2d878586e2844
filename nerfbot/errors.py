"""The errors a user meets. Each is one line that names the field or place and the value received.

Only the base classes live here; a subpackage that needs a finer error derives its own from these.
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
