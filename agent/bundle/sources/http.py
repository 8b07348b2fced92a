"""Fetches a bundle over http or https, going on where a cut connection left off, from servers that `origins` allows.

Proxies are those of the environment: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.
"""

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from agent.bundle.sources.incoming import FetchInterrupted, Incoming, SourceBusy, unavailable
from agent.bundle.sources.origins import (
    Forbidden,
    PrivateOrigins,
    Resolve,
    check_address,
    literal,
    proxy_for,
    resolve_by_system,
    resolved,
    server_of,
)
from agent.policy.terms import allows_url

_REDIRECTS = 5
_TIMEOUT = httpx.Timeout(55.0, connect=10.0)
_FOR_WANT_OF_RIGHTS = (401, 403, 404)
_TOLD = 4096
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How to ask: headers for the first host alone, whether it may send us to another, and what its refusals mean.

    `private` are the servers with private addresses that may be asked, `resolve` says where a name leads, `origins` are those that the
    host's policy allows (None: all), which counts for redirects as well. `trouble` is raised in place of a
    refusal that a credential could mend. `exact` servers take a range of one version by If-Match, not by If-Range; `explained` reads
    what the body of a refusal says, `away` says what to do about a redirect to another host.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    may_leave_host: bool = False
    refusals: Mapping[int, str] = field(default_factory=dict)
    private: PrivateOrigins = field(default_factory=lambda: PrivateOrigins(()))
    resolve: Resolve = resolve_by_system
    origins: tuple[str, ...] | None = None
    trouble: FetchInterrupted | None = None
    exact: bool = False
    explained: Callable[[bytes], str] | None = None
    away: str = "give that address itself"


_PLAINLY = Asking()


def fetch_http(url: str, incoming: Incoming, validator: Path, asking: Asking = _PLAINLY) -> None:
    """Fetch what is missing; `validator` keeps what the server called the version that has arrived so far."""
    headers = {"Accept-Encoding": "identity"}
    known = validator.read_text() if incoming.offset and validator.exists() else ""
    if known:
        headers |= {"Range": f"bytes={incoming.offset}-", "If-Match" if asking.exact else "If-Range": known}
    else:
        incoming.restart()
    with _answer(url, headers, asking, incoming.source) as response:
        total = _begin(response, incoming, asking)
        validator.write_text(_validator(response))
        for chunk in response.iter_raw():
            incoming.write(chunk)
    if total is not None and incoming.offset != total:
        raise FetchInterrupted(f"{incoming.source} sent {incoming.offset} of {total} bytes")


@contextmanager
def _answer(url: str, headers: dict[str, str], asking: Asking, source: str) -> Iterator[httpx.Response]:
    """The answer that is no redirect."""
    first = address = _address(url, source)
    try:
        for _ in range(_REDIRECTS + 1):
            own = asking.headers if _is_same_server(first, address) else {}
            with _connected(address, {**headers, **own}, asking, source) as response:
                if not response.has_redirect_location:
                    yield response
                    return
                address = _redirected(address, response.headers["location"], asking, source)
        raise unavailable(source, f"more than {_REDIRECTS} redirects")
    except Forbidden as error:
        raise unavailable(source, str(error)) from error
    except (httpx.TransportError, OSError) as error:
        raise FetchInterrupted(f"{source}: {str(error) or type(error).__name__}") from error
    except httpx.HTTPError as error:
        raise unavailable(source, str(error)) from error


def _address(url: str, source: str) -> httpx.URL:
    try:
        server = server_of(url)
        return httpx.URL(url).copy_with(host=server.host)
    except (Forbidden, httpx.InvalidURL) as error:
        raise unavailable(source, str(error)) from error


@contextmanager
def _connected(address: httpx.URL, headers: dict[str, str], asking: Asking, source: str) -> Iterator[httpx.Response]:
    """The answer of the first of the server's addresses that can be reached; a name is asked for once, and what it said is used.

    A proxy looks names up by itself, so there only an address that is written out can be judged.
    """
    server = server_of(str(address))
    proxy = proxy_for(server.scheme, server.host)
    written = literal(server.host)
    if proxy is None:
        hosts = resolved(server, asking.private, asking.resolve)
    else:
        hosts = (server.host,)
        if written is not None:
            check_address(server.host, written, asking.private)
    named = {**headers, "Host": address.netloc.decode("ascii")}
    with _client(proxy, source) as client:
        for host in hosts:
            request = client.build_request("GET", address.copy_with(host=host), headers=named, extensions={"sni_hostname": server.host})
            try:
                response = client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if host == hosts[-1]:
                    raise
                continue
            try:
                yield response
            finally:
                response.close()
            return


def _client(proxy: str | None, source: str) -> httpx.Client:
    try:
        return httpx.Client(timeout=_TIMEOUT, follow_redirects=False, proxy=proxy, trust_env=False, verify=_trust())
    except (ValueError, ImportError, httpx.InvalidURL) as error:  # Said without the proxy's address, which may hold a password.
        why = (
            "one of HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY in the agent's environment cannot be used; proxies are http://HOST:PORT"
        )
        raise unavailable(source, why) from error


def _trust() -> ssl.SSLContext:
    """SSL_CERT_FILE and SSL_CERT_DIR count here as they do elsewhere."""
    return httpx.create_ssl_context(trust_env=True)


def _is_same_server(one: httpx.URL, other: httpx.URL) -> bool:
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def _redirected(address: httpx.URL, location: str, asking: Asking, source: str) -> httpx.URL:
    try:
        found = address.join(location).copy_with(fragment=None)
    except httpx.InvalidURL as error:
        raise unavailable(source, "it redirects to what is no address") from error
    if found.scheme not in ("https", address.scheme):
        raise unavailable(source, f"it redirects from {address.scheme} to {found.scheme}")
    if found.host != address.host and not asking.may_leave_host:
        raise unavailable(source, f"it redirects to another host, {found.scheme}://{found.host}; {asking.away}")
    if asking.origins is not None and not allows_url(asking.origins, str(found)):
        where = str(found).partition("?")[0]
        raise unavailable(source, f"it redirects to {where}, and the policy of this host allows no bundle from there (origins)")
    return _address(str(found), source)


def _begin(response: httpx.Response, incoming: Incoming, asking: Asking) -> int | None:
    """Judge the status and tell how long the whole bundle is."""
    if response.status_code == 206:
        found = _RANGE.fullmatch(response.headers.get("content-range", ""))
        if found is None or int(found[1]) != incoming.offset:
            raise unavailable(incoming.source, "the server sent another range than was asked for")
        total: int | None = int(found[2])
    elif response.status_code == 200:
        incoming.restart()
        length = response.headers.get("content-length", "")
        total = int(length) if length.isdecimal() and len(length) < 19 else None
    else:
        raise _refusal(response, incoming, asking)
    if response.headers.get("content-encoding", "identity") != "identity":
        raise unavailable(incoming.source, "the server compressed the answer although it was asked not to")
    incoming.begin(total)
    return total


def _refusal(response: httpx.Response, incoming: Incoming, asking: Asking) -> Exception:
    status = f"the server answered {response.status_code} {response.reason_phrase}"
    wait = response.headers.get("retry-after", "")
    if response.status_code in (403, 429, 503) and wait.isdecimal() and len(wait) < 5:
        return SourceBusy(float(wait))
    if response.status_code == 416:
        incoming.restart()
        return FetchInterrupted(f"{incoming.source}: {status}")
    if response.status_code == 412 and asking.exact and "If-Match" not in asking.headers:
        incoming.restart()
        return FetchInterrupted(f"{incoming.source}: it has changed since its first part was fetched")
    if asking.explained is not None and (said := asking.explained(_beginning(response))):
        status = f"{status}: {said}"
    if asking.trouble is not None and response.status_code in _FOR_WANT_OF_RIGHTS:
        return asking.trouble
    meaning = asking.refusals.get(response.status_code)
    if meaning is not None:
        return unavailable(incoming.source, f"{status}: {meaning}")
    if response.status_code in (408, 429) or response.status_code >= 500:
        return FetchInterrupted(f"{incoming.source}: {status}")
    return unavailable(incoming.source, status)


def _beginning(response: httpx.Response) -> bytes:
    """Of the body of a refusal."""
    try:
        return next(response.iter_raw(_TOLD), b"")
    except httpx.HTTPError:
        return b""


def _validator(response: httpx.Response) -> str:
    """What names this version for certain; empty when the server gives no such name."""
    etag: str = response.headers.get("etag", "")
    return etag if etag.startswith('"') else ""
