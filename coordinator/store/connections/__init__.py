"""The database file and its connections: one that writes, a few that read."""
