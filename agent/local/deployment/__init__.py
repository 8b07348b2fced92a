"""A deployment on the spot: without a coordinator, by the same machine, hooks and unpacking process."""

SUBDIRECTORY = "local"
"""Where local deployments keep their journal and their records in the agent's data directory."""
