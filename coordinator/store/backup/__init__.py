"""Backups: a data directory copied while its coordinator runs, and brought back."""
