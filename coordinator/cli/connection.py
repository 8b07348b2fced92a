"""The way to the coordinator: one channel, calls that are repeated while it cannot be reached, and pages joined together.

Every call that changes something carries a request_id, so repeating one is safe.
"""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import click

from coordinator.cli import protos
from coordinator.cli.clock import Clock
from coordinator.cli.refusals import code_of, refusal

if TYPE_CHECKING:
    import grpc

Request = TypeVar("Request")
Response = TypeVar("Response")

PAUSES = (0.1, 0.2, 0.4, 0.8, 1.5)  # seconds between the attempts while the coordinator cannot be reached: it restarts within two
PAGE_SIZE = 1000
UNIX = "unix:"
END_OF_KEY = b"-----END PRIVATE KEY-----\n"
ADMIN_SOCKET = Path("/var/lib/hookline/admin.sock")
"""Where a coordinator with the default data directory lets operators of its own machine in."""

OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),  # what one attempt may take, whatever the name says: a loaded machine needs it
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A machine that freezes or a cable that is pulled is noticed while a deployment is followed.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
]


class PageRequest(Protocol):
    """A request that asks for one page."""

    page_size: int
    page_token: str


class PageResponse(Protocol):
    """A page."""

    @property
    def next_page_token(self) -> str:
        """Empty on the last page."""


PagesAsked = TypeVar("PagesAsked", bound=PageRequest)
Page = TypeVar("Page", bound=PageResponse)


class Connection:
    """A channel to the coordinator, opened when the first call is made."""

    def __init__(
        self, coordinator: str, *, insecure: bool, timeout: float, clock: Clock, trust: str = "", token: str = "", pair: bytes = b""
    ) -> None:
        """For TLS: `trust` is the root certificate, `pair` the operator's key and certificates, all PEM; `token` is the operator's."""
        self.coordinator = coordinator
        self.insecure = insecure
        self._trust = trust
        self._token = token
        self._pair = pair
        self.timeout = timeout
        self.pauses: Sequence[float] = PAUSES
        self._clock = clock

    @functools.cached_property
    def _channel(self) -> "grpc.Channel":
        grpc = protos.grpc
        if self.coordinator.startswith(UNIX):
            return grpc.insecure_channel(self.coordinator, options=OPTIONS)
        check_address(self.coordinator)
        if self.insecure:
            check_plaintext(self.coordinator)
            return grpc.insecure_channel(self.coordinator, options=OPTIONS)
        if not self._trust:
            raise click.UsageError(
                f"cannot trust {self.coordinator} yet: type the `hookline login` that an admin's `hookline operator token create` prints, "
                "or say --ca FILE; on the coordinator's machine --coordinator unix:DATA_DIR/admin.sock will do"
            )
        key, end, chain = self._pair.partition(END_OF_KEY)
        credentials = grpc.ssl_channel_credentials(self._trust.encode(), (key + end) or None, chain or None)
        if self._token:
            credentials = grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(self._token))
        return grpc.secure_channel(self.coordinator, credentials, options=OPTIONS)

    @functools.cached_property
    def catalog(self) -> "protos.catalog_service.CatalogServiceStub":
        """Applications, groups, configs, revisions."""
        return protos.catalog_service.CatalogServiceStub(self._channel)

    @functools.cached_property
    def deployments(self) -> "protos.deployment_service.DeploymentServiceStub":
        """Deployments, their targets, the history."""
        return protos.deployment_service.DeploymentServiceStub(self._channel)

    @functools.cached_property
    def foresight(self) -> "protos.foresight_service.ForesightServiceStub":
        """What would happen."""
        return protos.foresight_service.ForesightServiceStub(self._channel)

    @functools.cached_property
    def alarms(self) -> "protos.alarm_service.AlarmServiceStub":
        """Alarms."""
        return protos.alarm_service.AlarmServiceStub(self._channel)

    @functools.cached_property
    def triggers(self) -> "protos.trigger_service.TriggerServiceStub":
        """Tries triggers."""
        return protos.trigger_service.TriggerServiceStub(self._channel)

    @functools.cached_property
    def fleet(self) -> "protos.fleet_service.FleetServiceStub":
        """Hosts and tags."""
        return protos.fleet_service.FleetServiceStub(self._channel)

    @functools.cached_property
    def access(self) -> "protos.access_service.AccessServiceStub":
        """Operators."""
        return protos.access_service.AccessServiceStub(self._channel)

    @functools.cached_property
    def audit(self) -> "protos.access_service.AuditServiceStub":
        """What operators did."""
        return protos.access_service.AuditServiceStub(self._channel)

    def close(self) -> None:
        """Close the channel if it was opened."""
        if "_channel" in self.__dict__:
            self._channel.close()

    def ask(self, method: "grpc.UnaryUnaryMultiCallable[Request, Response]", request: Request) -> Response:
        """The answer to one call. Raises a Refusal that says what went wrong."""
        return self.repeat(lambda left: method(request, timeout=left), self.timeout)

    def repeat(self, attempt: Callable[[float], Response], seconds: float) -> Response:
        """Make an attempt, again and again while the coordinator cannot be reached, within a time. The attempt is told what is left."""
        deadline = self._clock.elapsed() + seconds
        pauses = iter(self.pauses)
        while True:
            try:
                return attempt(max(0.05, deadline - self._clock.elapsed()))
            except protos.grpc.RpcError as error:
                pause = next(pauses, None)
                again = code_of(error) is protos.grpc.StatusCode.UNAVAILABLE and pause is not None
                if pause is None or not again or self._clock.elapsed() + pause >= deadline:
                    raise refusal(error, self.coordinator, seconds) from None
                self._clock.wait(pause)

    def pages(self, method: "grpc.UnaryUnaryMultiCallable[PagesAsked, Page]", request: PagesAsked, limit: int = 0) -> Iterator[Page]:
        """Every page of an answer, asked for as they are used; with a limit, no greater than it needs."""
        request.page_size = min(limit + 1, PAGE_SIZE) if limit else PAGE_SIZE
        while True:
            page = self.ask(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


def check_address(coordinator: str) -> None:
    """Refuse what is no address."""
    host, _, port = coordinator.rpartition(":")
    if not host.strip("[]") or not port.isdigit() or not 0 < int(port) < 65536:
        raise click.UsageError(
            f"cannot use {coordinator!r} as the coordinator's address: write HOST:PORT, as in 127.0.0.1:8445, or unix:PATH"
        )


def check_plaintext(coordinator: str) -> None:
    """Refuse plaintext to another machine."""
    host = coordinator.rpartition(":")[0].strip("[]")
    if not is_loopback(host):
        raise click.UsageError(
            f"cannot speak plaintext to {host}: --insecure is for a coordinator on this machine only (127.0.0.1, [::1], localhost); "
            "with TLS, type `hookline login` once and leave --insecure out"
        )


def reached_as(address: str, coordinator: str) -> str:
    """An address that a coordinator listens on, for those elsewhere: where that is every address, the one that it was reached at."""
    import socket

    host, _, port = address.rpartition(":")
    if host in ("", "0.0.0.0", "[::]"):
        host = socket.getfqdn() if coordinator.startswith(UNIX) else coordinator.rpartition(":")[0]
    return f"{host}:{port}"


def found_here() -> str | None:
    """The socket of this machine's coordinator, if there is one and it lets this user in."""
    try:
        return f"{UNIX}{ADMIN_SOCKET}" if ADMIN_SOCKET.is_socket() and os.access(ADMIN_SOCKET, os.R_OK | os.W_OK) else None
    except OSError:  # its directory is closed to this user
        return None


def is_loopback(host: str) -> bool:
    """Whether an address can only mean this machine."""
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
