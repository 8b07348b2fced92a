"""The agent: carries out instructions on one host, and reports each lifecycle event."""

__version__ = "0.1.0"
