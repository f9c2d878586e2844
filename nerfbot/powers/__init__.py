"""When and to whom the nerf is lifted: leases and their authority, schedules and the audit log.

What a lift changes in a command or a reading is in `nerfbot.limits`.
"""

from nerfbot.powers.adaptive import DamageBounded, Staircase
from nerfbot.powers.agenda import Agenda
from nerfbot.powers.audit import (
    AuditLog,
    AuditLogBroken,
    AuditLogUnreadable,
    AuditSummary,
    utc_now,
    verify,
)
from nerfbot.powers.authority import ActiveLease, Decision, LeaseAuthority
from nerfbot.powers.catalogue import SCHEDULES, load_schedule
from nerfbot.powers.lease import Lease
from nerfbot.powers.model import EDITS
from nerfbot.powers.patient_audit import PatientAuditLog
from nerfbot.powers.policy import LeasePolicy, Refusal, Return, Zone
from nerfbot.powers.region import Cells, Circle, Place, Rectangle, Region
from nerfbot.powers.schedule import Always, Never, Occasional, Schedule, Window

__all__ = [
    "EDITS",
    "SCHEDULES",
    "ActiveLease",
    "Agenda",
    "Always",
    "AuditLog",
    "AuditLogBroken",
    "AuditLogUnreadable",
    "AuditSummary",
    "Cells",
    "Circle",
    "DamageBounded",
    "Decision",
    "Lease",
    "LeaseAuthority",
    "LeasePolicy",
    "Never",
    "Occasional",
    "PatientAuditLog",
    "Place",
    "Rectangle",
    "Refusal",
    "Region",
    "Return",
    "Schedule",
    "Staircase",
    "Window",
    "Zone",
    "load_schedule",
    "utc_now",
    "verify",
]
