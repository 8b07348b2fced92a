"""Tests of the agents' side of the coordinator."""
