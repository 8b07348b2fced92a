"""What `hookline-coordinator` may be told on its command line."""

import argparse
import ipaddress
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from coordinator import program_version

MAX_BUNDLE_BYTES = 1 << 30
AGENT_LIFETIME = 24 * 3600
AGENT_LIFETIME_AT_MOST = 90 * 24 * 3600
READMIT_WITHIN = 7 * 24 * 3600
SOCKET_PATH_AT_MOST = 107
LOG_RETENTION_DAYS = 30
LOG_MAX_BYTES = 4 << 30
LOG_LEVELS = ("debug", "info", "warning", "error")

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+):(?P<port>[0-9]{1,5})")


class Address(NamedTuple):
    """Where to listen; port 0 lets the system choose one."""

    host: str
    port: int

    def __str__(self) -> str:
        """HOST:PORT, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def check_free(self) -> None:
        """Raise OSError, with a sentence, when nobody can listen here just now."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            socket.create_server((self.host, self.port), family=family).close()
        except OSError as error:
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            raise OSError(f"cannot listen on {self}: {reason}; stop the program that uses it, or name another address") from error

    @property
    def loopback(self) -> bool:
        """Whether nobody from elsewhere can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What there is beside the agents' listener when it speaks TLS."""

    operator_listen: Address
    enrol_listen: Address
    admin_socket: Path
    names: tuple[str, ...]
    """What agents and operators may call the coordinator: DNS names and addresses."""
    cluster: str
    agent_lifetime: int = AGENT_LIFETIME
    """Seconds."""
    readmit_within: int = READMIT_WITHIN
    """Seconds after the end of its certificate in which a host comes back by itself."""
    oidc: Path | None = None
    """Which identity provider's tokens operators may bring; see `adapters/oidc`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How this coordinator was started."""

    data_dir: Path
    listen: Address
    http_listen: Address
    bundle_listen: Address
    tls: "Tls | None" = None
    """None: plaintext, with everybody on `listen`."""
    max_bundle_bytes: int
    log_level: str
    log_retention_days: int = LOG_RETENTION_DAYS
    log_max_bytes: int = LOG_MAX_BYTES
    metrics_names: bool = False
    metrics_token: str = field(default="", repr=False)
    """Empty: /metrics asks for none."""
    http_tls: bool = False
    prometheus: str = ""
    """Where alarms are looked at; empty: nowhere."""
    prometheus_token: str = field(default="", repr=False)
    alertmanager_token: str = field(default="", repr=False)
    """Empty: Alertmanager's webhook is not served."""


def parse(arguments: Sequence[str]) -> Settings:
    """Read the command line. Ends the program with exit code 2 and a sentence when it is wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    listen: Address = given.listen
    bundle_listen: Address = given.bundle_listen or Address(listen.host, listen.port + 1 if listen.port else 0)
    if bundle_listen.port > 65_535:
        parser.error(f"cannot listen for bundles on the port after {listen.port}: there is none; use --bundle-listen")
    if given.http_tls and given.insecure:
        parser.error("cannot use --http-tls with --insecure: there are no certificates then")
    if not given.http_listen.loopback and not (given.http_tls and given.metrics_token_file):
        why = "it is plaintext and asks nobody, so only loopback addresses are allowed; for others use --http-tls and --metrics-token-file"
        parser.error(f"cannot listen on {given.http_listen} (--http-listen): {why}")
    for option, address in (("--listen", listen), ("--bundle-listen", bundle_listen)):
        if given.insecure and not address.loopback:
            parser.error(f"cannot listen on {address} ({option}) with --insecure: only loopback addresses such as 127.0.0.1 are allowed")
    tls = None if given.insecure else _tls(given)
    if tls is not None and len(os.fsencode(tls.admin_socket)) > SOCKET_PATH_AT_MOST:
        parser.error(f"cannot listen on {tls.admin_socket}: a socket's path has at most {SOCKET_PATH_AT_MOST} bytes; use --admin-socket")
    return Settings(
        data_dir=given.data_dir,
        listen=listen,
        http_listen=given.http_listen,
        bundle_listen=bundle_listen,
        tls=tls,
        max_bundle_bytes=given.max_bundle_bytes,
        log_level=given.log_level,
        log_retention_days=given.log_retention_days,
        log_max_bytes=given.log_max_bytes,
        metrics_names=given.metrics_names,
        metrics_token=given.metrics_token_file or "",
        http_tls=given.http_tls,
        prometheus=given.prometheus or "",
        prometheus_token=given.prometheus_token_file or "",
        alertmanager_token=given.alertmanager_token_file or "",
    )


def _tls(given: argparse.Namespace) -> Tls:
    own = ("localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn())
    listeners = (given.listen, given.operator_listen, given.enrol_listen, given.http_listen)
    hosts = (address.host for address in listeners if address.host not in ("0.0.0.0", "::"))
    return Tls(
        operator_listen=given.operator_listen,
        enrol_listen=given.enrol_listen,
        admin_socket=given.admin_socket or given.data_dir.absolute() / "admin.sock",
        names=tuple(dict.fromkeys((*given.tls_name, *hosts, *own))),
        cluster=given.cluster,
        agent_lifetime=given.certificate_lifetime,
        readmit_within=given.readmit_within,
        oidc=given.oidc,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hookline-coordinator",
        description="Runs deployments: agents and operators connect to it.",
        epilog="Beside that: `hookline-coordinator backup` and `restore`; each has a --help of its own.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path("/var/lib/hookline"),
        metavar="DIR",
        help="where the history and the bundles are kept; made if need be (default: %(default)s)",
    )
    parser.add_argument(
        "--listen",
        type=_address,
        default=Address("127.0.0.1", 8443),
        metavar="HOST:PORT",
        help="where agents connect, with certificates (default: %(default)s); with --insecure everybody",
    )
    parser.add_argument(
        "--http-listen",
        type=_address,
        default=Address("127.0.0.1", 8480),
        metavar="HOST:PORT",
        help="where /metrics and /healthz are served (default: %(default)s)",
    )
    parser.add_argument(
        "--bundle-listen",
        type=_address,
        metavar="HOST:PORT",
        help="where agents fetch bundles (default: the host of --listen and the port after it)",
    )
    parser.add_argument(
        "--operator-listen",
        type=_address,
        default=Address("127.0.0.1", 8445),
        metavar="HOST:PORT",
        help="where operators connect, with tokens (default: %(default)s)",
    )
    parser.add_argument(
        "--enrol-listen",
        type=_address,
        default=Address("127.0.0.1", 8446),
        metavar="HOST:PORT",
        help="where machines ask to become hosts, with a join token (default: %(default)s)",
    )
    parser.add_argument(
        "--admin-socket",
        type=Path,
        metavar="PATH",
        help="where operators on this machine connect, as the coordinator's user or root (default: admin.sock in the data directory)",
    )
    parser.add_argument(
        "--tls-name",
        action="append",
        default=[],
        metavar="NAME",
        help="what agents and operators call this machine, a DNS name or an address, if not by its host name; may be said several times",
    )
    parser.add_argument(
        "--cluster",
        default="hookline",
        metavar="NAME",
        help="the name in every certificate, chosen at the first start (default: %(default)s)",
    )
    parser.add_argument(
        "--certificate-lifetime",
        type=_lifetime,
        default=AGENT_LIFETIME,
        metavar="TIME",
        help="how long agents' certificates are valid, such as 7d (default: 24h)",
    )
    parser.add_argument(
        "--readmit-within",
        type=_absence,
        default=READMIT_WITHIN,
        metavar="TIME",
        help="how long after its certificate has ended a host comes back by itself; later, or with 0d, it waits for `hookline hosts "
        "approve` (default: 7d)",
    )
    parser.add_argument(
        "--oidc",
        type=Path,
        metavar="FILE",
        help="a TOML file: which identity provider's tokens operators may bring (deploy/SECURITY.md)",
    )
    parser.add_argument(
        "--insecure", action="store_true", help="plaintext without certificates, everybody on --listen, loopback addresses only"
    )
    parser.add_argument(
        "--max-bundle-bytes",
        type=_positive,
        default=MAX_BUNDLE_BYTES,
        metavar="N",
        help="the largest bundle that may be pushed (default: %(default)s)",
    )
    parser.add_argument(
        "--log-retention-days",
        type=_positive,
        default=LOG_RETENTION_DAYS,
        metavar="N",
        help="how long what hooks printed is kept (default: %(default)s)",
    )
    parser.add_argument(
        "--log-max-bytes",
        type=_positive,
        default=LOG_MAX_BYTES,
        metavar="N",
        help="how much of what hooks printed is kept, over all deployments; the oldest goes first (default: %(default)s)",
    )
    parser.add_argument(
        "--metrics-names",
        action="store_true",
        help="count deployments in /metrics by application and group: whoever may scrape sees the names (default: all together)",
    )
    parser.add_argument(
        "--metrics-token-file",
        type=_token,
        metavar="FILE",
        help="holds the bearer token that has to be shown for /metrics (default: none is asked for)",
    )
    parser.add_argument(
        "--http-tls",
        action="store_true",
        help="serve HTTP over TLS, with the coordinator's certificate; other machines may then be let in at --http-listen",
    )
    parser.add_argument(
        "--prometheus",
        type=_web_address,
        metavar="URL",
        help="the Prometheus in which alarms are looked at, such as http://127.0.0.1:9090 (default: none)",
    )
    parser.add_argument(
        "--prometheus-token-file",
        type=_token,
        metavar="FILE",
        help="holds the bearer token to show to Prometheus (default: none is shown)",
    )
    parser.add_argument(
        "--alertmanager-token-file",
        type=_token,
        metavar="FILE",
        help="holds the bearer token that Alertmanager shows; POST /alertmanager on --http-listen is served only with it",
    )
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="info", help="how much is logged (default: %(default)s)")
    parser.add_argument("--version", action="version", version=f"%(prog)s {program_version()}")
    return parser


def _address(text: str) -> Address:
    found = _ADDRESS.fullmatch(text)
    if not found or int(found["port"]) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:8443 or [::1]:8443")
    return Address(found["host"].strip("[]"), int(found["port"]))


def _web_address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an address such as http://127.0.0.1:9090; a token belongs into --prometheus-token-file"
        )
    return text


def _token(text: str) -> str:
    try:
        token = Path(text).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"cannot read a token from {text}: {getattr(error, 'strerror', None) or error}") from None
    if not token or not token.isascii() or not token.isprintable():
        raise argparse.ArgumentTypeError(f"{text} holds no token: it must be one line of printable ASCII characters")
    return token


def _lifetime(text: str) -> int:
    seconds = _absence(text)
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is not a length of time up to 90d that a certificate could be valid for, such as 24h")
    return seconds


def _absence(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,7})([smhd])", text)
    seconds = int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]] if found else -1
    if not 0 <= seconds <= AGENT_LIFETIME_AT_MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a length of time up to 90d, such as 24h or 7d")
    return seconds


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
