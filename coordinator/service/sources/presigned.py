"""An address that lets whoever has it read one object of S3 for some minutes: signed as AWS signs queries (Signature Version 4). Pure.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlsplit

from coordinator.core.model import S3Location

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """What signs; a session token is empty where the key is no temporary one."""

    key_id: str
    secret: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Which S3: Amazon's in a region, or the server at an endpoint."""

    region: str
    endpoint: str = ""


def presigned(place: S3Location, store: Store, key: AccessKey, *, at: int, lasts: int) -> str:
    """Good for a GET of this object, in this version if it has one, from `at` (milliseconds) for so many seconds."""
    server, path = _where(place, store)
    moment = datetime.fromtimestamp(at // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/{store.region}/s3/aws4_request"
    said = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{key.key_id}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(lasts),
        "X-Amz-SignedHeaders": "host",
        **({"X-Amz-Security-Token": key.session_token} if key.session_token else {}),
        **({"versionId": place.version} if place.version else {}),
    }
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(said.items()))
    asked = f"GET\n{path}\n{query}\nhost:{urlsplit(server).netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    signed = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
    with_day = f"AWS4{key.secret}".encode()
    for word in (*scope.split("/"), signed):
        with_day = hmac.digest(with_day, word.encode(), "sha256")
    return f"{server}{path}?{query}&X-Amz-Signature={with_day.hex()}"


def _where(place: S3Location, store: Store) -> tuple[str, str]:
    """The server, and the path on it. A bucket with dots is no name that Amazon's certificate is for."""
    path = quote(f"/{place.key}", safe="/~")
    if store.endpoint:
        return store.endpoint.rstrip("/"), f"/{place.bucket}{path}"
    amazon = f"s3.{store.region}.amazonaws.com" + (".cn" if store.region.startswith("cn-") else "")
    return (f"https://{amazon}", f"/{place.bucket}{path}") if "." in place.bucket else (f"https://{place.bucket}.{amazon}", path)
