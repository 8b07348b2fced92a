"""DECIDES: takes facts, returns what to store and what to do. No clock, no randomness, no I/O, no await, no log."""
