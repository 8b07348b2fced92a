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

    def __init__(self, coordinator: str, *, insecure: bool, timeout: float, clock: Clock) -> None:
        self.coordinator = coordinator
        self.insecure = insecure
        self.timeout = timeout
        self.pauses: Sequence[float] = PAUSES
        self._clock = clock

    @functools.cached_property
    def _channel(self) -> "grpc.Channel":
        check_plaintext(self.coordinator, insecure=self.insecure)
        return protos.grpc.insecure_channel(self.coordinator, options=OPTIONS)

    @functools.cached_property
    def catalog(self) -> "protos.catalog_service.CatalogServiceStub":
        """Applications, groups, configs, revisions."""
        return protos.catalog_service.CatalogServiceStub(self._channel)

    @functools.cached_property
    def deployments(self) -> "protos.deployment_service.DeploymentServiceStub":
        """Deployments, their targets, the history."""
        return protos.deployment_service.DeploymentServiceStub(self._channel)

    @functools.cached_property
    def fleet(self) -> "protos.fleet_service.FleetServiceStub":
        """Hosts and tags."""
        return protos.fleet_service.FleetServiceStub(self._channel)

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


def check_plaintext(coordinator: str, *, insecure: bool) -> None:
    """Refuse what is not safe: plaintext that was not asked for, or to another machine. What is said to a socket stays on this one."""
    if coordinator.startswith(UNIX):
        return
    host, _, port = coordinator.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise click.UsageError(
            f"cannot use {coordinator!r} as the coordinator's address: write HOST:PORT, as in 127.0.0.1:8443, or unix:PATH"
        )
    if not insecure:
        raise click.UsageError(
            "TLS is not there yet: on the coordinator's machine say --coordinator unix:DATA_DIR/admin.sock, or --insecure to speak "
            "plaintext to a coordinator that was started so"
        )
    if not is_loopback(host):
        raise click.UsageError(
            f"cannot speak plaintext to {host}: --insecure is for a coordinator on this machine only (127.0.0.1, [::1], localhost), "
            "and TLS is not there yet"
        )


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
