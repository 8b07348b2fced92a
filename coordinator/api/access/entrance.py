"""Who calls, as each listener finds it out."""

import asyncio
import hashlib
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from coordinator.core.errors import Unauthenticated
from coordinator.core.identity.access import Kind, Principal
from coordinator.service.access.callers import Callers
from coordinator.wire.identity import named, names_of, speaks_tls_1_3

if TYPE_CHECKING:
    from grpc import aio

Context: TypeAlias = "aio.ServicerContext[Any, Any]"
"""Any: calls of every kind are asked the same."""

SCHEME: Final = "bearer "


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


class Shown(Protocol):
    """Reads who calls out of what operators show at a listener."""

    async def caller(self, context: Context, address: str) -> Principal:
        """See `Entrance.principal`."""
        ...


class Operators:
    """A listener of operators: what they show says which one calls, and what they have open ends when they may not stay."""

    def __init__(self, callers: Callers, shown: Shown) -> None:
        """`callers` tells who has to leave."""
        self._callers = callers
        self._shown = shown

    async def principal(self, context: Context) -> Principal:
        """The operator behind a call."""
        if not speaks_tls_1_3(context.auth_context()):
            raise Unauthenticated("cannot let you in: this call does not speak TLS 1.3")
        return await self._shown.caller(context, peer_address(context))

    def stay(self, principal: Principal) -> Stay | None:
        """An operator may stay until their token or certificate ends, or they are told to leave."""
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


class Bearer:
    """A token says who calls. Without one it is nobody."""

    def __init__(self, callers: Callers) -> None:
        """`callers` knows the tokens."""
        self._callers = callers

    async def caller(self, context: Context, address: str) -> Principal:
        """The operator whose token the call carries."""
        said = [str(value) for key, value in context.invocation_metadata() or () if key == "authorization"]
        if not said:
            return Principal(Kind.Nobody, address=address)
        if len(said) > 1 or not said[0].lower().startswith(SCHEME):
            raise Unauthenticated("cannot let you in: the metadata authorization must be said once, as Bearer hlo_...")
        return await self._callers.who(said[0][len(SCHEME) :].strip(), address)


class Certified:
    """A certificate says who calls; gRPC has seen to it that it is one of the cluster's, and that it has not ended."""

    def __init__(self, callers: Callers, cluster: str) -> None:
        """`cluster` as in the certificates' URIs; `callers` knows the certificates."""
        self._callers = callers
        self._cluster = cluster

    async def caller(self, context: Context, address: str) -> Principal:
        """The operator whose certificate the connection has."""
        said = context.auth_context()
        name = named(said, self._cluster, "operator")
        if not name:
            raise Unauthenticated(
                f"cannot let you in: this listener is for operators, whose certificates say spiffe://{self._cluster}/operator/NAME, and "
                f"this one says {', '.join(names_of(said))[:200] or 'nothing'}"
            )
        certificate_id = b"".join(said.get("x509_common_name", ())).decode("utf-8", "replace")
        return await self._callers.certified(name, certificate_id, shown_by(context), address)


def shown_by(context: Context) -> bytes:
    """The digest of the certificate that a connection has; empty without one."""
    pem = b"".join(context.auth_context().get("x509_pem_cert", ()))
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))).digest() if pem else b""


def peer_address(context: Context) -> str:
    """Where a call comes from, without its port."""
    kind, _, rest = str(context.peer()).partition(":")
    return rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]") if kind in ("ipv4", "ipv6") else kind
