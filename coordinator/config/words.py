"""What one word of the command line may be; a sentence when it is something else."""

import argparse
import re
from pathlib import Path

from coordinator.config.settings import OPEN, PACES, Address, Pace
from coordinator.core.addresses import Forbidden, check_address, server_of

AGENT_LIFETIME_AT_MOST = 90 * 24 * 3600

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+):(?P<port>[0-9]{1,5})")


def address(text: str) -> Address:
    """HOST:PORT."""
    found = _ADDRESS.fullmatch(text)
    if not found or int(found["port"]) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:8443 or [::1]:8443")
    return Address(found["host"].strip("[]"), int(found["port"]))


def web_address(text: str) -> str:
    """Where to ask over HTTP: no user, no query, and nowhere that machines keep their credentials. What is refused may hold a password,
    and is not quoted."""
    try:
        server = server_of(text)
        if server.literal is not None:
            check_address(server.host, server.literal)
    except Forbidden as no:
        raise argparse.ArgumentTypeError(
            f"this is not an address such as http://127.0.0.1:9090: {no}; a token belongs into a file, which --…-token-file names"
        ) from None
    if "?" in text:
        raise argparse.ArgumentTypeError("this is not an address such as http://127.0.0.1:9090: it has a query; leave it out")
    return text


def token(text: str) -> str:
    """What a file holds: one line."""
    try:
        found = Path(text).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"cannot read a token from {text}: {getattr(error, 'strerror', None) or error}") from None
    if not found or not found.isascii() or not found.isprintable():
        raise argparse.ArgumentTypeError(f"{text} holds no token: it must be one line of printable ASCII characters")
    return found


def limit(text: str) -> tuple[str, Pace | None]:
    """KIND=PER_SECOND/BURST, or KIND=off: what for, and how much; None: any number."""
    found = re.fullmatch(r"([a-z]+)=(?:off|([0-9]{1,6}(?:\.[0-9]{1,3})?)/([0-9]{1,6}))", text)
    pace = Pace(float(found[2]), int(found[3])) if found and found[2] else None
    if not found or found[1] not in PACES or pace is not None and not (pace.per_second and pace.burst):
        raise argparse.ArgumentTypeError(f"{text!r} is not {', '.join(PACES)}, then =PER_SECOND/BURST or =off, such as changes=10/100")
    return found[1], pace


def open_at_most(text: str) -> tuple[str, int | None]:
    """KIND=NUMBER, or KIND=off: whose, and how many; None: any number."""
    found = re.fullmatch(r"([a-z]+)=(?:off|([1-9][0-9]{0,5}))", text)
    if not found or found[1] not in OPEN:
        raise argparse.ArgumentTypeError(f"{text!r} is not {', '.join(OPEN)}, then =NUMBER or =off, such as operator=100")
    return found[1], int(found[2]) if found[2] else None


def lifetime(text: str) -> int:
    """Seconds for which a certificate can be valid."""
    seconds = absence(text)
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is not a length of time up to 90d that a certificate could be valid for, such as 24h")
    return seconds


def absence(text: str) -> int:
    """Seconds; 0 is allowed."""
    found = re.fullmatch(r"([0-9]{1,7})([smhd])", text)
    seconds = int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]] if found else -1
    if not 0 <= seconds <= AGENT_LIFETIME_AT_MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a length of time up to 90d, such as 24h or 7d")
    return seconds


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
