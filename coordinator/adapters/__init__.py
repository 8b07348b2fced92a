"""Reaches out: the machine's clock and its chance."""
