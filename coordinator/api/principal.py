"""Who calls. Set for each call by the interceptor, read where a call becomes a request."""

from contextvars import ContextVar
from typing import NewType

Principal = NewType("Principal", str)

LOCAL = Principal("local")
"""Whoever reaches a coordinator that listens on loopback only."""

caller: ContextVar[Principal] = ContextVar("caller")
"""The principal behind the present call."""
