"""Tests of what is counted, and of what is asked about it."""
