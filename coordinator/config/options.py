"""The options, in the groups in which `--help` shows them."""

import argparse
from pathlib import Path

from coordinator import program_version
from coordinator.config import notifications, words
from coordinator.config.settings import (
    AGENT_LIFETIME,
    LOG_MAX_BYTES,
    LOG_RETENTION_DAYS,
    MAX_BUNDLE_BYTES,
    OPEN,
    PACES,
    READMIT_WITHIN,
    Address,
)

LOG_LEVELS = ("debug", "info", "warning", "error")


def parser() -> argparse.ArgumentParser:
    """The whole command line; `--help` shows it in groups."""
    made = argparse.ArgumentParser(
        prog="hookline-coordinator",
        description="Runs deployments: agents and operators connect to it.",
        epilog="Beside that: `hookline-coordinator backup` and `restore`; each has a --help of its own.",
        allow_abbrev=False,
    )
    _listeners(made.add_argument_group("where it listens"))
    _identity(made.add_argument_group("certificates and operators"))
    _keeping(made.add_argument_group("what is kept"))
    _sources(made.add_argument_group("bundles that lie elsewhere"))
    _metrics(made.add_argument_group("metrics"))
    _alarms(made.add_argument_group("alarms"))
    notifications.add_options(made.add_argument_group("notifications"))
    made.add_argument("--log-level", choices=LOG_LEVELS, default="info", help="how much is logged (default: %(default)s)")
    made.add_argument("--version", action="version", version=f"%(prog)s {program_version()}")
    return made


def _listeners(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--listen",
        type=words.address,
        default=Address("127.0.0.1", 8443),
        metavar="HOST:PORT",
        help="where agents connect, with certificates (default: %(default)s); with --insecure everybody",
    )
    group.add_argument(
        "--http-listen",
        type=words.address,
        default=Address("127.0.0.1", 8480),
        metavar="HOST:PORT",
        help="where /metrics and /healthz are served (default: %(default)s)",
    )
    group.add_argument(
        "--bundle-listen",
        type=words.address,
        metavar="HOST:PORT",
        help="where agents fetch bundles (default: the host of --listen and the port after it)",
    )
    group.add_argument(
        "--operator-listen",
        type=words.address,
        default=Address("127.0.0.1", 8445),
        metavar="HOST:PORT",
        help="where operators connect, with tokens (default: %(default)s)",
    )
    group.add_argument(
        "--certificate-listen",
        type=words.address,
        default=Address("127.0.0.1", 8447),
        metavar="HOST:PORT",
        help="where operators connect, with certificates (default: %(default)s)",
    )
    group.add_argument(
        "--enrol-listen",
        type=words.address,
        default=Address("127.0.0.1", 8446),
        metavar="HOST:PORT",
        help="where machines ask to become hosts, with a join token (default: %(default)s)",
    )
    group.add_argument(
        "--admin-socket",
        type=Path,
        metavar="PATH",
        help="where operators on this machine connect, as the coordinator's user or root (default: admin.sock in the data directory)",
    )
    group.add_argument(
        "--insecure", action="store_true", help="plaintext without certificates, everybody on --listen, loopback addresses only"
    )


def _identity(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--tls-name",
        action="append",
        default=[],
        metavar="NAME",
        help="what agents and operators call this machine, a DNS name or an address, if not by its host name; may be said several times",
    )
    group.add_argument(
        "--cluster",
        default="hookline",
        metavar="NAME",
        help="the name in every certificate, chosen at the first start (default: %(default)s)",
    )
    group.add_argument(
        "--certificate-lifetime",
        type=words.lifetime,
        default=AGENT_LIFETIME,
        metavar="TIME",
        help="how long agents' certificates are valid, such as 7d (default: 24h)",
    )
    group.add_argument(
        "--readmit-within",
        type=words.absence,
        default=READMIT_WITHIN,
        metavar="TIME",
        help="how long after its certificate has ended a host comes back by itself; later, or with 0d, it waits for `hookline hosts "
        "approve` (default: 7d)",
    )
    group.add_argument(
        "--limit",
        type=words.limit,
        action="append",
        default=[],
        metavar="KIND=PER_SECOND/BURST",
        help="how often each operator may call (changes, reads, streams), and each application be deployed (deployments); =off: no limit; "
        f"may be said several times (default: {', '.join(f'{kind}={pace.per_second:g}/{pace.burst}' for kind, pace in PACES.items())})",
    )
    group.add_argument(
        "--open-at-most",
        type=words.open_at_most,
        action="append",
        default=[],
        metavar="KIND=NUMBER",
        help="how many streams (followed deployments and output, pushes) may be open at once of each operator, about each application, "
        "from each address; =off: any number; may be said several times "
        f"(default: {', '.join(f'{kind}={most}' for kind, most in OPEN.items())})",
    )
    group.add_argument(
        "--oidc",
        type=Path,
        metavar="FILE",
        help="a TOML file: which identity provider's tokens operators may bring (deploy/SECURITY.md)",
    )


def _sources(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--source-credentials",
        type=Path,
        metavar="FILE",
        help="a TOML file: keys of S3, GitHub Apps and OAuth clients with which hosts may read bundles, for minutes each time; hosts "
        "never see them (deploy/SECURITY.md; default: hosts use their own)",
    )


def _keeping(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--data-dir",
        type=Path,
        default=Path("/var/lib/hookline"),
        metavar="DIR",
        help="where the history and the bundles are kept; made if need be (default: %(default)s)",
    )
    group.add_argument(
        "--max-bundle-bytes",
        type=words.positive,
        default=MAX_BUNDLE_BYTES,
        metavar="N",
        help="the largest bundle that may be pushed (default: %(default)s)",
    )
    group.add_argument(
        "--history-retention-days",
        type=words.positive,
        default=0,
        metavar="N",
        help="how long after the end of a deployment its hosts' lifecycle events and diagnostics are kept; deployments, their targets "
        "and the history are kept always (default: for ever)",
    )
    group.add_argument(
        "--log-retention-days",
        type=words.positive,
        default=LOG_RETENTION_DAYS,
        metavar="N",
        help="how long what hooks printed is kept (default: %(default)s)",
    )
    group.add_argument(
        "--log-max-bytes",
        type=words.positive,
        default=LOG_MAX_BYTES,
        metavar="N",
        help="how much of what hooks printed is kept, over all deployments; the oldest goes first (default: %(default)s)",
    )


def _metrics(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--metrics-names",
        action="store_true",
        help="count deployments in /metrics by application and group: whoever may scrape sees the names (default: all together)",
    )
    group.add_argument(
        "--metrics-token-file",
        type=words.token,
        metavar="FILE",
        help="holds the bearer token that has to be shown for /metrics (default: none is asked for)",
    )
    group.add_argument(
        "--http-tls",
        action="store_true",
        help="serve HTTP over TLS, with the coordinator's certificate; other machines may then be let in at --http-listen",
    )


def _alarms(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--prometheus",
        type=words.web_address,
        metavar="URL",
        help="the Prometheus in which alarms are looked at, such as http://127.0.0.1:9090 (default: none)",
    )
    group.add_argument(
        "--prometheus-token-file",
        type=words.token,
        metavar="FILE",
        help="holds the bearer token to show to Prometheus (default: none is shown)",
    )
    group.add_argument(
        "--alertmanager-token-file",
        type=words.token,
        metavar="FILE",
        help="holds the bearer token that Alertmanager shows; POST /alertmanager on --http-listen is served only with it",
    )
