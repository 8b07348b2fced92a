"""Chaos: real processes killed at random moments, for as long as one likes, with the hooks' own log as the witness."""
