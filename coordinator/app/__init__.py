"""Knows everybody: wires the coordinator's parts, runs them, and opens the ports where it is called."""
