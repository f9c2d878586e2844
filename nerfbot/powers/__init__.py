"""When and to whom the nerf is lifted: leases, schedules and the audit log."""
