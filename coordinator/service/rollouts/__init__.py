"""Shapes of rollouts, and what operators wish of live ones."""
