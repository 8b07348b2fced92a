"""The catalogue in SQLite: applications, deployment configs, deployment groups, revisions, alarms."""
