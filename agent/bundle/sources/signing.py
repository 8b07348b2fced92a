"""Signs a GET as Amazon's services want it (Signature Version 4). Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

_ALGORITHM = "AWS4-HMAC-SHA256"
_NOTHING = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsKey:
    """What signs, and where it comes from; a session token is empty where the key is no temporary one."""

    key_id: str
    secret: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    origin: str


def signed(key: AwsKey, *, host: str, path: str, query: str, region: str, at: int) -> Mapping[str, str]:
    """The headers of a GET to S3 at this moment (UTC milliseconds); path and query are encoded already, as they are sent."""
    moment = datetime.fromtimestamp(at // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    said = {"x-amz-content-sha256": _NOTHING, "x-amz-date": moment}
    if key.session_token:
        said["x-amz-security-token"] = key.session_token
    headers = sorted({"host": host, **said}.items())
    names = ";".join(name for name, _ in headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers)
    asked = f"GET\n{path}\n{query}\n{lines}\n{names}\n{_NOTHING}"
    text = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
    secret = f"AWS4{key.secret}".encode()
    for word in (*scope.split("/"), text):
        secret = hmac.digest(secret, word.encode(), "sha256")
    return {**said, "Authorization": f"{_ALGORITHM} Credential={key.key_id}/{scope}, SignedHeaders={names}, Signature={secret.hex()}"}
