"""Fetches an object from Amazon S3 or a server with its API, going on where a cut connection left off.

With what the coordinator lends, else with this host's own key (see aws.py), over our own HTTP either way: a name is looked up once, what
was found is what we connect to, and no redirect to another host is followed. Endpoint and region come from the agent's settings, else from
the environment.
"""

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from agent.bundle.requests import S3Source
from agent.bundle.sources.aws import own_key
from agent.bundle.sources.http import Asking, fetch_http
from agent.bundle.sources.incoming import Incoming, unavailable
from agent.bundle.sources.lent import Loan, borrowed
from agent.bundle.sources.origins import (
    ANY,
    Forbidden,
    PrivateOrigins,
    Resolve,
    Server,
    check_address,
    literal,
    resolve_by_system,
    server_of,
)
from agent.bundle.sources.signing import AwsKey, signed
from agent.clock import SystemClock

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SAID = re.compile(rb"<Code>([^<]{1,100})</Code>\s*<Message>([^<]{1,300})</Message>")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_NO_CREDENTIALS = (
    "the agent has no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in its environment, "
    "write ~/.aws/credentials, give the instance a role, or set AWS_SKIP_SIGNATURE=true for a public bucket"
)
_AMAZONS = re.compile(r"s3\.[a-z0-9-]+\.amazonaws\.com(\.cn)?")
_AWAY = "set s3_endpoint to that server itself, or s3_region to the bucket's region"
_OTHER_REGION = "the bucket lies in another region; set s3_region, or AWS_REGION in the agent's environment"


def fetch_from_s3(source: S3Source, incoming: Incoming, validator: Path, resolve: Resolve = resolve_by_system) -> None:
    """Fetch what is missing, with what the coordinator lends, else with what this host has; `validator` keeps the ETag of the version that
    has arrived so far."""
    loan = borrowed(source.lender, incoming.source)
    if loan.url:
        _fetch_lent(loan.url, source, incoming, validator, resolve)
    else:
        _fetch_with_own(source, loan, incoming, validator, resolve)


def _fetch_lent(url: str, source: S3Source, incoming: Incoming, validator: Path, resolve: Resolve) -> None:
    endpoint = _endpoint(source)
    if not _is_of(url, source, endpoint):
        why = "the coordinator lent an address that is not this object's"
        raise unavailable(incoming.source, f"{why}; s3_endpoint here has to be the endpoint in its file of source credentials")
    if not (source.version or source.e_tag):
        validator.unlink(missing_ok=True)  # S3 promises nothing of If-Range, so what may have changed is not gone on with.
    asking = Asking(
        headers=_exactly(source),
        refusals={
            **dict.fromkeys(
                (400, 401, 403, 404), "what the coordinator lent does not open it; look at the key in its file of source credentials"
            ),
            412: f"its ETag is no longer {source.e_tag}; register the object again",
        },
        explained=_explained,
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


def _fetch_with_own(source: S3Source, loan: Loan, incoming: Incoming, validator: Path, resolve: Resolve) -> None:
    if source.key != source.key.strip("/") or any(part in ("", ".", "..") for part in source.key.split("/")):
        raise unavailable(incoming.source, 'keys with empty parts, "." or ".." between their slashes are not fetched; rename the object')
    region = source.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    if not _BUCKET.fullmatch(source.bucket) or not _REGION.fullmatch(region):
        raise unavailable(incoming.source, "that is no bucket's name, or no region's")
    server, path = _place(source, region, incoming.source)
    key = None if os.environ.get("AWS_SKIP_SIGNATURE", "").lower() == "true" else own_key(incoming.source)
    if key is None and "AWS_SKIP_SIGNATURE" not in os.environ:
        raise loan.trouble or unavailable(incoming.source, _NO_CREDENTIALS)
    query = f"versionId={quote(source.version, safe='')}" if source.version else ""
    headers: dict[str, str] = {}
    if key is not None:
        headers |= signed(key, host=_named(server), path=path, query=query, region=region, at=SystemClock().now_ms())
    asking = Asking(
        headers={**headers, **_exactly(source)},
        refusals=_refusals(source, key, loan),
        explained=_explained,
        exact=True,
        away=_AWAY,
        private=PrivateOrigins((ANY,)),  # The endpoint is the administrator's choice, and Amazon's name may lead into a network of ours.
        resolve=resolve,
        trouble=loan.trouble,
    )
    fetch_http(f"{server.scheme}://{_named(server)}{path}{'?' if query else ''}{query}", incoming, validator, asking)


def _endpoint(source: S3Source) -> str:
    return source.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def _place(source: S3Source, region: str, name: str) -> tuple[Server, str]:
    """The server, and the object's path on it. A bucket with dots is no name that Amazon's certificate is for."""
    path = quote(f"/{source.key}", safe="/~")
    endpoint = _endpoint(source)
    try:
        if endpoint:
            server = server_of(endpoint)
            written = literal(server.host)
            if written is not None:
                check_address(server.host, written, PrivateOrigins((ANY,)))
            return server, f"{urlsplit(endpoint).path.rstrip('/')}/{source.bucket}{path}"
    except Forbidden as error:
        raise unavailable(name, f"its endpoint cannot be used: {error}") from error
    amazon = f"s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
    dotted = "." in source.bucket
    host = amazon if dotted else f"{source.bucket}.{amazon}"
    return Server(scheme="https", host=host, port=443), f"/{source.bucket}{path}" if dotted else path


def _named(server: Server) -> str:
    """As the Host header names it, which is signed."""
    host = f"[{server.host}]" if ":" in server.host else server.host
    return host if (server.scheme, server.port) in (("https", 443), ("http", 80)) else f"{host}:{server.port}"


def _exactly(source: S3Source) -> dict[str, str]:
    """AWS shows ETags with quotation marks or without."""
    return {"If-Match": f'"{source.e_tag.strip(chr(34))}"'} if source.e_tag else {}


def _refusals(source: S3Source, key: AwsKey | None, loan: Loan) -> dict[int, str]:
    used = "asked without a key (AWS_SKIP_SIGNATURE)" if key is None else f"asked with the agent's own key, from {key.origin}"
    used = f"{used}; lent was none ({loan.why_none})"
    return {
        301: _OTHER_REGION,
        307: _OTHER_REGION,
        400: used,
        401: used,
        403: used,
        404: used,
        412: f"its ETag is no longer {source.e_tag}; register the object again",
    }


def _explained(body: bytes) -> str:
    """What S3 says of a refusal."""
    said = _SAID.search(body)
    return "" if said is None else f"{said[2].decode('utf-8', 'replace').rstrip('.')} ({said[1].decode('ascii', 'replace')})"
