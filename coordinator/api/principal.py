"""Who calls. Set for each call by the interceptor, read where a call becomes a request."""

from contextvars import ContextVar
from typing import NewType

Principal = NewType("Principal", str)

LOCAL = Principal("local")
"""Whoever reaches the admin socket, or a coordinator that listens on loopback only, in plaintext."""

AGENT = Principal("agent")
"""Whoever shows an agent's certificate; which one, the gateway knows."""

MACHINE = Principal("machine")
"""Whoever reaches the listener where machines ask to become hosts."""

caller: ContextVar[Principal] = ContextVar("caller")
"""The principal behind the present call."""
