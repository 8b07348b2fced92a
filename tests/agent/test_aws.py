"""This host's own AWS key: where it is looked for and in which order, and that what it signs is what Amazon's own library signs."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]  # no stubs
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

from agent.bundle.sources.aws import own_key
from agent.bundle.sources.incoming import FetchInterrupted
from agent.bundle.sources.signing import AwsKey, signed
from tests.agent.website import Answer, Site, serving

STATIC = {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "s"}
ROLE = Answer(json.dumps({"AccessKeyId": "ASIAROLE", "SecretAccessKey": "never", "Token": "t"}).encode())
IAM = "/latest/meta-data/iam/security-credentials/"
STS = b"<R><Credentials><AccessKeyId>ASIASTS</AccessKeyId><SecretAccessKey>never/+=</SecretAccessKey><SessionToken>t</SessionToken></R>"


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture
def bare(site: Site, tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing is said, with an instance that has a role."""
    site.answers |= {"/latest/api/token": Answer(b"a-token"), IAM: Answer(b"deploy\n"), f"{IAM}deploy": ROLE}
    return {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_EC2_METADATA_SERVICE_ENDPOINT": site.url}


@pytest.mark.parametrize("token", ["", "a token/+="])
@pytest.mark.parametrize("path, query", [("/shop/4%202%28a%29.zip", "versionId=3HL4%2Fk"), ("/bundles/%C3%BC~.tgz", "")])
def test_what_is_signed_is_what_amazons_own_library_signs(path: str, query: str, token: str) -> None:
    key = AwsKey(key_id="AKIDEXAMPLE", secret="s3cret/+=", session_token=token, origin="a test")
    found = signed(key, host="bundles.s3.eu-central-1.amazonaws.com", path=path, query=query, region="eu-central-1", at=1_440_938_160_000)
    url = f"https://bundles.s3.eu-central-1.amazonaws.com{path}{'?' if query else ''}{query}"
    names = {name: value for name, value in found.items() if name not in ("Authorization", "x-amz-content-sha256")}
    request = AWSRequest(method="GET", url=url, headers={**names, "x-amz-content-sha256": found["x-amz-content-sha256"]})
    request.context["timestamp"] = found["x-amz-date"]
    theirs = S3SigV4Auth(Credentials(key.key_id, key.secret, token or None), "s3", "eu-central-1")
    wanted = theirs.signature(theirs.string_to_sign(request, theirs.canonical_request(request)), request)
    assert found["Authorization"].endswith(f"Signature={wanted}")
    assert "s3cret" not in repr(key)


def test_the_environment_goes_before_everything(bare: dict[str, str], site: Site) -> None:
    found = own_key("s3://b/k", {**bare, **STATIC, "AWS_SESSION_TOKEN": "t", "AWS_WEB_IDENTITY_TOKEN_FILE": "/x", "AWS_ROLE_ARN": "y"})
    assert found == AwsKey(key_id="AKIDENV", secret="s", session_token="t", origin="its environment")
    assert site.asked == []


def test_an_instance_is_asked_with_a_token_as_imdsv2_wants_it(bare: dict[str, str], site: Site) -> None:
    found = own_key("s3://b/k", bare)
    assert found == AwsKey(key_id="ASIAROLE", secret="never", session_token="t", origin="the instance's role deploy")
    assert [asked.path for asked in site.asked] == ["/latest/api/token", IAM, f"{IAM}deploy"]
    assert site.heard("x-aws-ec2-metadata-token") == [None, "a-token", "a-token"]
    assert own_key("s3://b/k", {**bare, "AWS_EC2_METADATA_DISABLED": "true"}) is None


@pytest.mark.parametrize("without", ["/latest/api/token", IAM, f"{IAM}deploy"])
def test_an_instance_without_a_role_has_no_key(bare: dict[str, str], site: Site, without: str) -> None:
    del site.answers[without]
    assert own_key("s3://b/k", bare) is None


def test_nor_has_a_machine_that_is_no_instance(bare: dict[str, str]) -> None:
    assert own_key("s3://b/k", {**bare, "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"}) is None


def test_a_role_whose_name_would_lead_elsewhere_is_not_asked_for(bare: dict[str, str], site: Site) -> None:
    site.answers[IAM] = Answer(b"../../evil")
    assert own_key("s3://b/k", bare) is None
    assert len(site.asked) == 2


def test_a_container_is_asked_with_the_token_of_its_file(bare: dict[str, str], site: Site, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("pod-token\n")
    site.answers["/v1/credentials"] = ROLE
    said = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{site.url}/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": f"{tmp_path}/token",
    }
    found = own_key("s3://b/k", {**bare, **said})
    assert found is not None
    assert (found.key_id, found.origin) == ("ASIAROLE", "the container's role")
    assert site.heard("authorization") == ["pod-token"]
    site.answers.clear()
    with pytest.raises(FetchInterrupted, match="the container has no credentials at http://127.0.0.1"):
        own_key("s3://b/k", {**bare, **said})


def test_a_containers_credentials_are_asked_for_nowhere_else(bare: dict[str, str]) -> None:
    with pytest.raises(FetchInterrupted, match="leads to evil.example, where nobody's credentials are"):
        own_key("s3://b/k", {**bare, "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://evil.example/v1"})


def test_a_web_identity_becomes_a_key(bare: dict[str, str], site: Site, tmp_path: Path) -> None:
    (tmp_path / "identity").write_text("eyJ.a.b\n")
    site.answers["/"] = Answer(STS)
    said = {
        "AWS_WEB_IDENTITY_TOKEN_FILE": f"{tmp_path}/identity",
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/deploy",
        "AWS_ENDPOINT_URL_STS": site.url,
    }
    found = own_key("s3://b/k", {**bare, **said})
    assert found == AwsKey(key_id="ASIASTS", secret="never/+=", session_token="t", origin="the role arn:aws:iam::1:role/deploy")
    form = parse_qs(site.asked[0].body.decode())
    assert (form["Action"], form["WebIdentityToken"]) == (["AssumeRoleWithWebIdentity"], ["eyJ.a.b"])
    site.answers["/"] = Answer(b"<Error/>", status=403)
    with pytest.raises(FetchInterrupted, match="answers 403 when asked for the credentials of arn:aws:iam::1:role/deploy") as refused:
        own_key("s3://b/k", {**bare, **said})
    assert "eyJ" not in str(refused.value)
    (tmp_path / "identity").unlink()
    with pytest.raises(FetchInterrupted, match=f"cannot be read from {tmp_path}/identity"):
        own_key("s3://b/k", {**bare, **said})
