"""What an agent cannot do, in a sentence for its operator."""

from __future__ import annotations


class AgentError(Exception):
    """Says "cannot X: why", and what to do about it."""

    exit_code = 2  # the operator has to put something right before another start can go better
