"""What an agent cannot do, in a sentence for its operator."""

from __future__ import annotations


class AgentError(Exception):
    """Says "cannot X: why", and what to do about it."""
