"""Who calls. Set for each call by the interceptor, read where a call becomes a request."""

from contextvars import ContextVar
from typing import Final

from coordinator.core.identity.access import Grant, Kind, Principal, Role

LOCAL: Final = Principal(Kind.Local, grants=(Grant(Role.Admin),))
"""Whoever reaches the admin socket, or a coordinator that listens on loopback only, in plaintext."""

AGENT: Final = Principal(Kind.Agent)
"""Whoever shows an agent's certificate; which one, the gateway knows."""

MACHINE: Final = Principal(Kind.Machine)
"""Whoever reaches the listener where machines ask to become hosts."""

caller: ContextVar[Principal] = ContextVar("caller")
"""The principal behind the present call."""
