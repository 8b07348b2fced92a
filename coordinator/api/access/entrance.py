"""Who calls, as each listener finds it out."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from coordinator.core.access import Kind, Principal
from coordinator.core.errors import Unauthenticated
from coordinator.service.access.callers import Callers

if TYPE_CHECKING:
    from grpc import aio

Context: TypeAlias = "aio.ServicerContext[Any, Any]"
"""Any: calls of every kind are asked the same."""

SCHEME: Final = "bearer "
TLS: Final = b"TLSv1.3"  # gRPC for Python has no setting for the least version


class Entrance(Protocol):
    """Says who calls, and ends what lasts too long."""

    async def principal(self, context: Context) -> Principal:
        """The caller, who may be barred. Raises Unauthenticated or Limit for whoever shows something that says nothing."""
        ...

    def stay(self, principal: Principal) -> "Stay | None":
        """A call has come that may last. None: its caller may stay."""
        ...

    def left(self, principal: Principal, stay: "Stay | None") -> None:
        """It has ended."""
        ...


class Stay:
    """A call that lasts."""

    def __init__(self, seconds: float | None) -> None:
        """How long its caller may stay; None: without an end."""
        self._until = None if seconds is None else asyncio.get_running_loop().time() + seconds
        self._limit: asyncio.Timeout | None = None

    def bind(self, limit: asyncio.Timeout) -> None:
        """What it does runs within this limit."""
        self._limit = limit
        limit.reschedule(self._until)

    def end(self) -> None:
        """Its caller may not stay."""
        self._until = asyncio.get_running_loop().time()
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(self._until)


class Same:
    """A listener that only one kind of caller can reach: whoever gets through to it is that one."""

    def __init__(self, principal: Principal) -> None:
        """Who that is."""
        self._principal = principal

    async def principal(self, context: Context) -> Principal:
        """Always the same, from where the call comes."""
        return replace(self._principal, address=peer_address(context))

    def stay(self, principal: Principal) -> None:
        """They may stay."""

    def left(self, principal: Principal, stay: Stay | None) -> None:
        """They were let stay."""


class Bearer:
    """The operators' listener: a token says who calls. Without one it is nobody."""

    def __init__(self, callers: Callers) -> None:
        """`callers` knows the tokens."""
        self._callers = callers

    async def principal(self, context: Context) -> Principal:
        """The operator whose token the call carries."""
        address = peer_address(context)
        if list(context.auth_context().get("ssl_tls_version", (TLS,))) != [TLS]:
            raise Unauthenticated("cannot let you in: this call does not speak TLS 1.3")
        said = [str(value) for key, value in context.invocation_metadata() or () if key == "authorization"]
        if not said:
            return Principal(Kind.Nobody, address=address)
        if len(said) > 1 or not said[0].lower().startswith(SCHEME):
            raise Unauthenticated("cannot let you in: the metadata authorization must be said once, as Bearer hlo_...")
        return await self._callers.who(said[0][len(SCHEME) :].strip(), address)

    def stay(self, principal: Principal) -> Stay | None:
        """An operator may stay until their token ends, or they are told to leave."""
        if principal.kind is not Kind.Operator:
            return None
        remaining = self._callers.remaining(principal)
        stay = Stay(None if remaining is None else remaining / 1000)
        self._callers.stay(principal, stay)
        return stay

    def left(self, principal: Principal, stay: Stay | None) -> None:
        """See `Entrance`."""
        if stay is not None:
            self._callers.left(principal, stay)


def peer_address(context: Context) -> str:
    """Where a call comes from, without its port."""
    kind, _, rest = str(context.peer()).partition(":")
    return rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]") if kind in ("ipv4", "ipv6") else kind
