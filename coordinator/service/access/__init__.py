"""Operators and what they may do; and the audit of what they did."""
