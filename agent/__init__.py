"""The agent: carries out instructions on one host, and reports each lifecycle event."""
