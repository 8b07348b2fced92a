"""Fetches an object from Amazon S3 or a server with its API, going on where a cut connection left off.

What the coordinator lends is fetched over our own HTTP. Else credentials come from the environment, from the AWS credentials file, or from
the instance or container; endpoint and region from the agent's settings, else from the environment. obstore then signs, asks and streams,
and honours HTTPS_PROXY, HTTP_PROXY and NO_PROXY.

obstore follows redirects and cannot be told not to. So every host but the bucket's is to be reached through a proxy that does not exist.
"""

import configparser
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import S3Store

from agent.bundle.requests import S3Source
from agent.bundle.sources.http import Asking, fetch_http
from agent.bundle.sources.incoming import FetchInterrupted, Incoming, unavailable
from agent.bundle.sources.lent import borrowed
from agent.bundle.sources.origins import ANY, Forbidden, PrivateOrigins, Resolve, proxy_for, resolve_by_system, resolved, server_of
from agent.payload import PayloadError

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, S3Config

_CHUNK = 256 * 1024
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_SAID = re.compile(r"<Code>([^<]{1,100})</Code>\s*<Message>([^<]{1,300})</Message>")
_NO_CREDENTIALS = (
    "the agent has no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in its environment, "
    "write ~/.aws/credentials, give the instance a role, or set AWS_SKIP_SIGNATURE=true for a public bucket"
)
_NOBODY = "127.255.255.254:1"
_AMAZONS = re.compile(r"s3\.[a-z0-9-]+\.amazonaws\.com(\.cn)?")
_AMAZON = ("amazonaws.com", "amazonaws.com.cn")
_OF_THE_MACHINE = ("169.254.169.254", "fd00:ec2::254", "169.254.170.2", "169.254.170.23", "fd00:ec2::23")
_OTHERS = ("AWS_METADATA_ENDPOINT", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_ENDPOINT_URL_STS")
"""Where an instance or a container has credentials, and the variables that name another place."""

_METADATA = ("/latest/api/token", "/latest/meta-data/", "//169.254.170.2")  # of an instance, and of a container


def fetch_from_s3(source: S3Source, incoming: Incoming, validator: Path, resolve: Resolve = resolve_by_system) -> None:
    """Fetch what is missing, with what the coordinator lends, else with what this host has; `validator` keeps the ETag of the version that
    has arrived so far."""
    loan = borrowed(source.lender, incoming.source)
    if loan.url:
        return _fetch_lent(loan.url, source, incoming, validator, resolve)
    try:
        _fetch_with_own(source, incoming, validator, resolve)
    except PayloadError as error:
        raise (loan.trouble if loan.trouble is not None and _NO_CREDENTIALS in error.message else error) from error


def _fetch_lent(url: str, source: S3Source, incoming: Incoming, validator: Path, resolve: Resolve) -> None:
    """Over our own HTTP: a name is looked up once, and what was found is what we connect to."""
    endpoint = _endpoint(source)
    if not _is_of(url, source, endpoint):
        why = "the coordinator lent an address that is not this object's"
        raise unavailable(incoming.source, f"{why}; s3_endpoint here has to be the endpoint in its file of source credentials")
    if not (source.version or source.e_tag):
        validator.unlink(missing_ok=True)  # S3 promises nothing of If-Range, so what may have changed is not gone on with.
    asking = Asking(
        headers={"If-Match": _quoted(source.e_tag)} if source.e_tag else {},
        refusals={
            403: "what the coordinator lent does not open it; look at the key in its file of source credentials",
            412: f"its ETag is no longer {source.e_tag}; register the object again",
        },
        private=PrivateOrigins((ANY,) if endpoint else ()),
        resolve=resolve,
    )
    fetch_http(url, incoming, validator, asking)


def _is_of(url: str, source: S3Source, endpoint: str) -> bool:
    """Whether an address is that of the object, on the server on which this host would look for it itself."""
    path = unquote(urlsplit(url).path)
    try:
        server = server_of(url)
        if endpoint:
            return server == server_of(endpoint) and path == f"/{source.bucket}/{source.key}"
    except Forbidden:
        return False
    name = server.host.removeprefix(f"{source.bucket}.")
    below = "" if name != server.host else f"/{source.bucket}"
    return server.scheme == "https" and server.port == 443 and bool(_AMAZONS.fullmatch(name)) and path == f"{below}/{source.key}"


def _fetch_with_own(source: S3Source, incoming: Incoming, validator: Path, resolve: Resolve) -> None:
    known = validator.read_text() if incoming.offset and validator.exists() else ""
    if not known:
        incoming.restart()
    try:
        answer = obstore.get(_store(source, incoming, resolve), source.key, options=_options(source, incoming.offset, known))
        incoming.begin(answer.meta["size"])
        validator.write_text(answer.meta["e_tag"] or "")
        for chunk in answer.stream(min_chunk_size=_CHUNK):
            incoming.write(bytes(chunk))
        total = answer.meta["size"]
    except (BaseError, FileNotFoundError) as error:
        raise _failure(error, source, incoming) from error
    if incoming.offset != total:
        raise FetchInterrupted(f"{incoming.source} sent {incoming.offset} of {total} bytes")


def _store(source: S3Source, incoming: Incoming, resolve: Resolve) -> S3Store:
    if source.key != source.key.strip("/") or any(part in ("", ".", "..") for part in source.key.split("/")):
        raise unavailable(incoming.source, 'keys with empty parts, "." or ".." between their slashes are not fetched; rename the object')
    if not _BUCKET.fullmatch(source.bucket):
        raise unavailable(incoming.source, "that is no bucket's name")
    config: S3Config = {}
    if source.endpoint:
        config["endpoint"] = source.endpoint
    if source.region:
        config["region"] = source.region
    endpoint = _endpoint(source)
    config = {**_credentials(os.environ), **config}
    has_own = "access_key_id" in config or "AWS_ACCESS_KEY_ID" in os.environ or os.environ.get("AWS_SKIP_SIGNATURE") == "true"
    options: ClientConfig = {"allow_http": endpoint.startswith("http://"), "connect_timeout": "10s", "read_timeout": "55s", "timeout": "1d"}
    try:
        options |= _way(endpoint, has_own=has_own, resolve=resolve)
    except Forbidden as error:
        raise unavailable(incoming.source, f"its endpoint cannot be used: {error}") from error
    except OSError as error:
        raise FetchInterrupted(f"{incoming.source}: {error.strerror or error}") from error
    return S3Store(
        source.bucket,
        config=config,
        client_options=options,
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=10)},
    )


def _endpoint(source: S3Source) -> str:
    return source.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def _quoted(e_tag: str) -> str:
    """AWS shows it with quotation marks or without."""
    return f'"{e_tag.strip(chr(34))}"'


def _way(endpoint: str, *, has_own: bool, resolve: Resolve) -> "ClientConfig":
    """How the bucket's server is reached, and no other one: where it redirects to is asked of nobody. Raises Forbidden for an endpoint
    that is none, OSError when its name leads nowhere. A proxy of the environment decides by itself where it goes.

    The endpoint is the administrator's choice, so its address may be private; without credentials of its `own` the machine's are asked for.
    """
    server = server_of(endpoint or f"https://s3.{_AMAZON[0]}")
    if proxy_for(server.scheme, server.host) is not None:
        return {}
    if endpoint:
        resolved(server, PrivateOrigins((ANY,)), resolve)
    hosts = {server.host} if endpoint else {*_AMAZON}
    if not has_own:
        hosts |= {*_AMAZON, *_OF_THE_MACHINE, *(urlsplit(os.environ.get(name, "")).hostname or "" for name in _OTHERS)} - {""}
    return {"proxy_url": f"http://{_NOBODY}", "proxy_excludes": ",".join(sorted(hosts))}


def _credentials(environment: "os._Environ[str]") -> "S3Config":
    """Those of the AWS credentials file, which obstore does not read, when the environment has none."""
    if "AWS_ACCESS_KEY_ID" in environment:
        return {}
    path = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()
    profiles = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        profiles.read_string(path.read_text())
        found = profiles[environment.get("AWS_PROFILE", "default")]
        config: S3Config = {"access_key_id": found["aws_access_key_id"], "secret_access_key": found["aws_secret_access_key"]}
    except (OSError, KeyError, ValueError, configparser.Error):
        return {}
    if "aws_session_token" in found:
        config["session_token"] = found["aws_session_token"]
    return config


def _options(source: S3Source, offset: int, known: str) -> "GetOptions":
    options: GetOptions = {}
    if source.version:
        options["version"] = source.version
    e_tag = _quoted(source.e_tag) if source.e_tag else known
    if e_tag:
        options["if_match"] = e_tag
    if offset:
        options["range"] = {"offset": offset}
    return options


def _failure(error: Exception, source: S3Source, incoming: Incoming) -> Exception:
    text = str(error).partition("\n\nDebug source")[0]
    said = _SAID.search(text)
    why = f"{said[2].rstrip('.')} ({said[1]})" if said else text.partition("\n")[0]
    found = _STATUS.search(text)
    status = int(found[1]) if found else 0
    if f"{_NOBODY}," in str(error):
        return unavailable(incoming.source, "it redirects to another host; set s3_endpoint to that server itself")
    if any(place in text for place in _METADATA):
        return unavailable(incoming.source, _NO_CREDENTIALS)
    if isinstance(error, PreconditionError) and not source.e_tag or status == 416:
        incoming.restart()
        return FetchInterrupted(f"{incoming.source}: the object has changed since its first part was fetched")
    if isinstance(error, PreconditionError):
        return unavailable(incoming.source, f"its ETag is no longer {source.e_tag}; register the object again")
    if "redirect" in text.lower():
        return unavailable(incoming.source, "the bucket lies in another region; set s3_region, or AWS_REGION in the agent's environment")
    if 400 <= status < 500 and status not in (408, 429):
        return unavailable(incoming.source, why)
    return FetchInterrupted(f"{incoming.source}: {why}")
