"""Speaks HTTP: metrics and health."""
