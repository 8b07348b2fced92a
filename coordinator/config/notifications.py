"""What the coordinator may be told about those who are told of deployments."""

import argparse
from pathlib import Path

from coordinator.config import words
from coordinator.config.settings import Notifications
from coordinator.core.addresses import PrivateServers


def add_options(group: argparse._ArgumentGroup) -> None:
    """Let them be said."""
    group.add_argument(
        "--notify-allow",
        type=_server,
        action="append",
        default=[],
        metavar="SERVER",
        help="a server with a private address, or one that speaks plain HTTP, to which triggers may send all the same: a name, an address, "
        "a network such as 10.0.0.0/8, or any; may be said several times (default: public servers, over https)",
    )
    group.add_argument(
        "--notify-secrets",
        type=_directory,
        metavar="DIR",
        help="where the secrets lie that triggers name: a file for each, of one line (default: none)",
    )
    group.add_argument(
        "--grafana",
        type=words.web_address,
        metavar="URL",
        help="the Grafana in which deployments are shown as annotations, such as http://127.0.0.1:3000 (default: none)",
    )
    group.add_argument(
        "--grafana-token-file",
        type=words.token,
        metavar="FILE",
        help="holds the token of a service account that may read and write Grafana's annotations",
    )


def given(said: argparse.Namespace) -> Notifications:
    """What was said."""
    return Notifications(
        allow=tuple(said.notify_allow),
        secrets=said.notify_secrets,
        grafana=said.grafana or "",
        grafana_token=said.grafana_token_file or "",
    )


def _server(text: str) -> str:
    try:
        PrivateServers([text])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _directory(text: str) -> Path:
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"there is no directory {text}: make it, readable for the coordinator alone")
    return Path(text)
