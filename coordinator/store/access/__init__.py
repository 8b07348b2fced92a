"""Operators, their grants and tokens; and the audit."""
