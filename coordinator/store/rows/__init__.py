"""Rows stop here: what they look like, and how they become values of the core and back."""
