"""Reaches who is told of what happens: web servers, and where their secrets lie."""
