"""Whose call it is. With TLS the client's certificate says so and nothing else does; over plaintext agents are believed: all are local."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from coordinator.core.errors import Denied, Unauthenticated
from coordinator.core.facts import Hello
from coordinator.core.identity.enrolment import Enrolment
from coordinator.core.model import HostId
from coordinator.core.tags import counting
from coordinator.wire.identity import named, speaks_tls_1_3

if TYPE_CHECKING:
    import grpc.aio

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
"""Any: calls of every kind are asked the same."""

METADATA_KEY: Final = "hookline-host-id"
_HOST_ID: Final = re.compile(r"[0-9a-f]{32}")


class Callers(Protocol):
    """Says whose call it is. Raises Unauthenticated or Denied, with a sentence for the agent."""

    def host(self, context: Context) -> HostId:
        """The host behind any call but Connect."""
        ...


class Identity(Callers, Protocol):
    """Says so for those who connect as well."""

    def known(self, context: Context) -> HostId | None:
        """The host behind a stream that has said nothing yet; None: only its Hello will tell."""
        ...

    def admitted(self, context: Context, hello: Hello) -> Hello:
        """What counts of what an agent says when it connects."""
        ...


class Believed:
    """Plaintext: every agent is who it says it is."""

    def host(self, context: Context) -> HostId:
        """As its metadata says."""
        said = str(dict(context.invocation_metadata() or ()).get(METADATA_KEY, ""))
        if not _HOST_ID.fullmatch(said):
            raise Unauthenticated(f"cannot serve this call: the metadata key {METADATA_KEY} is missing")
        return HostId(said)

    def known(self, context: Context) -> None:
        """Its Hello says it."""

    def admitted(self, context: Context, hello: Hello) -> Hello:
        """All of it."""
        return replace(hello, tags=counting(hello.tags, hello.facts, hello.agent_version))


class Hosts(Protocol):
    """Who may come in now: `service.enrolment.EnrolmentService` is one."""

    def welcome(self, host_id: HostId) -> Enrolment:
        """The host with this identity. Raises Denied."""
        ...


class Certified:
    """TLS: the certificate says who it is, and the enrolment what it is called and which tags it has."""

    def __init__(self, cluster: str, hosts: Hosts) -> None:
        """`cluster` as in the certificates' URIs."""
        self._cluster = cluster
        self._hosts = hosts

    def host(self, context: Context) -> HostId:
        """As its certificate says, if it may come in now."""
        return self._enrolment(context).host_id

    def known(self, context: Context) -> HostId:
        """As its certificate says, if it may come in now."""
        return self.host(context)

    def admitted(self, context: Context, hello: Hello) -> Hello:
        """Its name and, unless its join token trusted it, its tags are not its own to choose; nor do its facts select anything then."""
        enrolment = self._enrolment(context)
        if hello.host_id != enrolment.host_id:
            raise Denied(f"cannot accept this stream: its certificate is host {enrolment.host_id}'s, and it says to be {hello.host_id}")
        own = counting(hello.tags, hello.facts, hello.agent_version) if enrolment.trust_tags else {}
        return replace(hello, name=enrolment.name, tags={**own, **enrolment.tags})

    def _enrolment(self, context: Context) -> Enrolment:
        return self._hosts.welcome(host_of(context.auth_context(), self._cluster))


def host_of(said: Mapping[str, Iterable[bytes]], cluster: str) -> HostId:
    """The host that a verified certificate names. Raises Unauthenticated for anybody else's."""
    if not speaks_tls_1_3(said):
        raise Unauthenticated("cannot serve this call: it does not speak TLS 1.3")
    found = named(said, cluster, "agent")
    if not _HOST_ID.fullmatch(found):
        raise Unauthenticated(f"cannot serve this call: its certificate is not that of an agent of cluster {cluster}")
    return HostId(found)
