"""Credentials for sources of bundles, as the coordinator's administrator has written them down."""
