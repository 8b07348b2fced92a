"""How a coordinator was started."""

import ipaddress
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

MAX_BUNDLE_BYTES = 1 << 30
AGENT_LIFETIME = 24 * 3600
READMIT_WITHIN = 7 * 24 * 3600
LOG_RETENTION_DAYS = 30
LOG_MAX_BYTES = 4 << 30


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
    certificate_listen: Address
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


class Pace(NamedTuple):
    """So many a second, after a burst."""

    per_second: float
    burst: int


PACES = {"changes": Pace(10, 100), "reads": Pace(50, 500), "streams": Pace(2, 50), "deployments": Pace(1, 60)}
"""What each operator may do, and how often each application may be deployed, unless it is said otherwise."""


OPEN = {"operator": 100, "application": 500, "address": 500}
"""How many calls that last each operator may have open, how many may be about one application, and how many may come from one address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifications:
    """Where triggers may send to, where their secrets lie, and a Grafana that shows deployments."""

    allow: tuple[str, ...] = ()
    """Servers with private addresses, or that speak plain HTTP."""
    secrets: Path | None = None
    """None: triggers can name none."""
    grafana: str = ""
    """Empty: none."""
    grafana_token: str = field(default="", repr=False)


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
    history_retention_days: int = 0
    """Days for which the events of ended deployments are kept; 0: for ever."""
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
    notifications: Notifications = Notifications()
    paces: Mapping[str, Pace] = field(default_factory=lambda: PACES)
    """What is not among them is not counted."""
    open_at_most: Mapping[str, int] = field(default_factory=lambda: OPEN)
    """So it is with these."""
    source_credentials: Path | None = None
    """Which keys the coordinator has for bundles that lie elsewhere; see `adapters/sources`."""
