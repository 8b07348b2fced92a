"""The command line, read as a whole: what may be said together, and what follows from what was not said."""

import argparse
import os
import socket
from collections.abc import Sequence

from coordinator.config import notifications
from coordinator.config.options import parser
from coordinator.config.settings import OPEN, PACES, Address, Pace, Settings, Tls

SOCKET_PATH_AT_MOST = 107


def parse(arguments: Sequence[str]) -> Settings:
    """Read the command line. Ends the program with exit code 2 and a sentence when it is wrong."""
    options = parser()
    given = options.parse_args(arguments)
    listen: Address = given.listen
    bundle_listen: Address = given.bundle_listen or Address(listen.host, listen.port + 1 if listen.port else 0)
    if bundle_listen.port > 65_535:
        options.error(f"cannot listen for bundles on the port after {listen.port}: there is none; use --bundle-listen")
    if given.http_tls and given.insecure:
        options.error("cannot use --http-tls with --insecure: there are no certificates then")
    if not given.http_listen.loopback and not (given.http_tls and given.metrics_token_file):
        why = "it is plaintext and asks nobody, so only loopback addresses are allowed; for others use --http-tls and --metrics-token-file"
        options.error(f"cannot listen on {given.http_listen} (--http-listen): {why}")
    for option, address in (("--listen", listen), ("--bundle-listen", bundle_listen)):
        if given.insecure and not address.loopback:
            options.error(f"cannot listen on {address} ({option}) with --insecure: only loopback addresses such as 127.0.0.1 are allowed")
    tls = None if given.insecure else _tls(given)
    if tls is not None and len(os.fsencode(tls.admin_socket)) > SOCKET_PATH_AT_MOST:
        options.error(f"cannot listen on {tls.admin_socket}: a socket's path has at most {SOCKET_PATH_AT_MOST} bytes; use --admin-socket")
    return Settings(
        data_dir=given.data_dir,
        listen=listen,
        http_listen=given.http_listen,
        bundle_listen=bundle_listen,
        tls=tls,
        max_bundle_bytes=given.max_bundle_bytes,
        log_level=given.log_level,
        history_retention_days=given.history_retention_days,
        log_retention_days=given.log_retention_days,
        log_max_bytes=given.log_max_bytes,
        metrics_names=given.metrics_names,
        metrics_token=given.metrics_token_file or "",
        http_tls=given.http_tls,
        prometheus=given.prometheus or "",
        prometheus_token=given.prometheus_token_file or "",
        alertmanager_token=given.alertmanager_token_file or "",
        notifications=notifications.given(given),
        source_credentials=given.source_credentials,
        paces=_paces(dict(given.limit)),
        open_at_most=_open_at_most(dict(given.open_at_most)),
    )


def _paces(said: dict[str, Pace | None]) -> dict[str, Pace]:
    """Those that were said, the usual ones where nothing was, none where that was said."""
    return {kind: pace for kind in PACES if (pace := said.get(kind, PACES[kind])) is not None}


def _open_at_most(said: dict[str, int | None]) -> dict[str, int]:
    """So too."""
    return {kind: most for kind in OPEN if (most := said.get(kind, OPEN[kind])) is not None}


def _tls(given: argparse.Namespace) -> Tls:
    own = ("localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn())
    listeners = (given.listen, given.operator_listen, given.certificate_listen, given.enrol_listen, given.http_listen)
    hosts = (address.host for address in listeners if address.host not in ("0.0.0.0", "::"))
    return Tls(
        operator_listen=given.operator_listen,
        certificate_listen=given.certificate_listen,
        enrol_listen=given.enrol_listen,
        admin_socket=given.admin_socket or given.data_dir.absolute() / "admin.sock",
        names=tuple(dict.fromkeys((*given.tls_name, *hosts, *own))),
        cluster=given.cluster,
        agent_lifetime=given.certificate_lifetime,
        readmit_within=given.readmit_within,
        oidc=given.oidc,
    )
