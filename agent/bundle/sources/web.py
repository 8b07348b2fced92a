"""Fetches a bundle from a web server, with the token that the coordinator lends for it, if it lends one.

The token is sent to the very server that the revision's address names, in no redirect to another one, and never in the clear.
"""

from pathlib import Path

from agent.bundle.requests import UrlSource
from agent.bundle.sources.http import Asking, fetch_http
from agent.bundle.sources.incoming import Incoming, unavailable
from agent.bundle.sources.lent import Loan, borrowed
from agent.bundle.sources.origins import Forbidden, PrivateOrigins, literal, proxy_for, server_of

_HIDDEN = "there is no such file, or the server hides it"


def fetch_from_web(source: UrlSource, origins: tuple[str, ...] | None, incoming: Incoming, validator: Path) -> None:
    """Fetch what is missing; `origins` are those of the host's policy."""
    loan = borrowed(source.lender, incoming.source)
    if loan.url or loan.bearer and not _is_private(source.url):
        raise unavailable(incoming.source, "the coordinator lent what may not be used here: tokens are sent over https alone")
    asking = Asking(
        headers={"Authorization": f"Bearer {loan.bearer}"} if loan.bearer else {},
        refusals=_with_loan() if loan.bearer else _without(loan),
        private=PrivateOrigins(source.private_origins),
        origins=origins,
        trouble=loan.trouble,
    )
    fetch_http(source.url, incoming, validator, asking)


def _is_private(url: str) -> bool:
    """Whether nobody on the way reads what is sent there: over https, or to this very machine."""
    try:
        server = server_of(url)
    except Forbidden:
        return False
    written = literal(server.host)
    here = written is not None and written.is_loopback and proxy_for(server.scheme, server.host) is None
    return server.scheme == "https" or here


def _with_loan() -> dict[int, str]:
    lent = "the token that the coordinator lent"
    advice = "look at what the client of that [[oauth]] in its file of source credentials may read"
    return {
        401: f"it does not accept {lent}; {advice}, and who has issued it",
        403: f"{lent} does not open it; {advice}",
        404: f"{_HIDDEN} from {lent}; {advice}",
    }


def _without(loan: Loan) -> dict[int, str]:
    used = f"it was asked without a credential ({loan.why_none})"
    advice = "have one written into the coordinator's file of source credentials ([[oauth]]), if it takes one"
    return {401: f"{used}; {advice}", 403: f"{used}; {advice}", 404: f"{_HIDDEN}: {used}; {advice}"}
