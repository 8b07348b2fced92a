"""Tests of the loop that drives everything."""
