"""Speaks with agents."""
