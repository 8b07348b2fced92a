"""This host's own key for S3: from the environment, from the AWS credentials file, or from what the machine, its container or its pod has.

In this order, as Amazon's own programs look: the environment, a web identity, the file, the container, the instance (IMDSv2). What is asked
for on the way is asked directly and not through a proxy, but for STS; no redirect is followed.
"""

import configparser
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx

from agent.bundle.sources.incoming import FetchInterrupted
from agent.bundle.sources.signing import AwsKey

_TIMEOUT = httpx.Timeout(10.0, connect=2.0)
_INSTANCE = "http://169.254.169.254"
_CONTAINER = "http://169.254.170.2"
_CONTAINERS = ("169.254.170.2", "169.254.170.23", "fd00:ec2::23", "127.0.0.1", "localhost", "::1")
"""Where a container's credentials may be asked for in the clear."""
_OF_STS = ("AccessKeyId", "SecretAccessKey", "SessionToken")


def own_key(source: str, environment: Mapping[str, str] = os.environ) -> AwsKey | None:
    """The key; None: this host has none. Raises FetchInterrupted when whoever has it does not answer just now."""
    said = environment.get
    if said("AWS_ACCESS_KEY_ID") and said("AWS_SECRET_ACCESS_KEY"):
        secret, token = said("AWS_SECRET_ACCESS_KEY", ""), said("AWS_SESSION_TOKEN", "")
        return AwsKey(key_id=said("AWS_ACCESS_KEY_ID", ""), secret=secret, session_token=token, origin="its environment")
    if said("AWS_WEB_IDENTITY_TOKEN_FILE") and said("AWS_ROLE_ARN"):
        return _of_web_identity(source, environment)
    found = _of_file(environment)
    if found is not None:
        return found
    if said("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") or said("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        return _of_container(source, environment)
    return None if said("AWS_EC2_METADATA_DISABLED", "").lower() == "true" else _of_instance(source, environment)


def _of_file(environment: Mapping[str, str]) -> AwsKey | None:
    path = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()
    profiles = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        profiles.read_string(path.read_text())
        found = profiles[environment.get("AWS_PROFILE", "default")]
        key_id, secret = found["aws_access_key_id"], found["aws_secret_access_key"]
    except (OSError, KeyError, ValueError, configparser.Error):
        return None
    return AwsKey(key_id=key_id, secret=secret, session_token=found.get("aws_session_token", ""), origin=str(path))


def _of_web_identity(source: str, environment: Mapping[str, str]) -> AwsKey:
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
    url = environment.get("AWS_ENDPOINT_URL_STS") or f"https://sts.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
    asked = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": environment["AWS_ROLE_ARN"],
        "RoleSessionName": environment.get("AWS_ROLE_SESSION_NAME") or "hookline-agent",
        "WebIdentityToken": _token(Path(environment["AWS_WEB_IDENTITY_TOKEN_FILE"]), source),
    }
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = _asked(source, "POST", url, form, urlencode(asked).encode(), directly=False)
    # Three words of an answer from STS: not worth an XML parser, and what bombs those is not parsed at all.
    found = [re.search(rf"<{name}>([^<>\s]{{1,4096}})</{name}>", answer.text) for name in _OF_STS]
    if answer.status_code != 200 or not all(found):
        raise FetchInterrupted(f"{source}: {url} answers {answer.status_code} when asked for the credentials of {asked['RoleArn']}")
    key_id, secret, token = (each[1] for each in found if each is not None)
    return AwsKey(key_id=key_id, secret=secret, session_token=token, origin=f"the role {asked['RoleArn']}")


def _of_container(source: str, environment: Mapping[str, str]) -> AwsKey:
    relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    url = f"{_CONTAINER}/{relative.lstrip('/')}" if relative else environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    place = urlsplit(url)
    if place.scheme != "https" and place.hostname not in _CONTAINERS:
        raise FetchInterrupted(f"{source}: AWS_CONTAINER_CREDENTIALS_FULL_URI leads to {place.hostname}, where nobody's credentials are")
    file = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    token = _token(Path(file), source) if file else environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    found = _key(_asked(source, "GET", url, {"Authorization": token} if token else {}), "the container's role")
    if found is None:
        raise FetchInterrupted(f"{source}: the container has no credentials at {place.scheme}://{place.netloc}")
    return found


def _of_instance(source: str, environment: Mapping[str, str]) -> AwsKey | None:
    named = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or environment.get("AWS_METADATA_ENDPOINT") or _INSTANCE
    url = f"{named.rstrip('/')}/latest"
    try:
        token = _asked(source, "PUT", f"{url}/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "300"})
        if token.status_code != 200:
            return None
        shown = {"X-aws-ec2-metadata-token": token.text}
        roles = _asked(source, "GET", f"{url}/meta-data/iam/security-credentials/", shown)
        role = roles.text.partition("\n")[0].strip()
        if roles.status_code != 200 or not re.fullmatch(r"[\w+=,.@-]{1,64}", role):
            return None
        return _key(_asked(source, "GET", f"{url}/meta-data/iam/security-credentials/{role}", shown), f"the instance's role {role}")
    except FetchInterrupted:
        return None  # There is no such address outside of Amazon.


def _key(answer: httpx.Response, origin: str) -> AwsKey | None:
    try:
        said = json.loads(answer.content)
        key_id, secret, token = str(said["AccessKeyId"]), str(said["SecretAccessKey"]), str(said["Token"])
    except (ValueError, KeyError, TypeError):
        return None
    return AwsKey(key_id=key_id, secret=secret, session_token=token, origin=origin) if answer.status_code == 200 else None


def _token(path: Path, source: str) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError) as error:
        raise FetchInterrupted(f"{source}: the token of this host's AWS role cannot be read from {path}") from error


def _asked(source: str, method: str, url: str, headers: Mapping[str, str], body: bytes = b"", *, directly: bool = True) -> httpx.Response:
    try:
        with httpx.Client(timeout=_TIMEOUT, follow_redirects=False, trust_env=not directly) as client:
            return client.request(method, url, headers=dict(headers), content=body)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        where = url.partition("?")[0]
        raise FetchInterrupted(f"{source}: this host's AWS credentials cannot be had from {where}: {type(error).__name__}") from error
