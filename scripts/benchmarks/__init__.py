"""Benchmarks: everything is judged as a ratio against a floor that was taken in the same run on the same machine."""
