"""Addresses that are good for minutes are signed as AWS signs them: its own library makes the same of the same."""

from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.auth import S3SigV4QueryAuth  # type: ignore[import-untyped]  # no stubs
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

from coordinator.core.model import S3Location
from coordinator.service.sources.presigned import AccessKey, Store, presigned

KEY = AccessKey(key_id="AKIAIOSFODNN7EXAMPLE", secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
AT = 1_795_000_000_000
AMAZON = Store(region="eu-central-1")
OWN = Store(region="us-east-1", endpoint="http://127.0.0.1:9000")


@pytest.mark.parametrize(
    "place, store, address",
    [
        (S3Location(bucket="bundles", key="shop.tgz"), AMAZON, "https://bundles.s3.eu-central-1.amazonaws.com/shop.tgz"),
        (S3Location(bucket="a.b", key="shop.tgz"), AMAZON, "https://s3.eu-central-1.amazonaws.com/a.b/shop.tgz"),
        (S3Location(bucket="bundles", key="k"), Store(region="cn-north-1"), "https://bundles.s3.cn-north-1.amazonaws.com.cn/k"),
        (
            S3Location(bucket="bundles", key="a b/ü+~&=?.tgz", version="v 1/+="),
            OWN,
            "http://127.0.0.1:9000/bundles/a%20b/%C3%BC%2B~%26%3D%3F.tgz",
        ),
    ],
)
@pytest.mark.parametrize("token", ["", "a/session+token=="])
def test_an_address_is_signed_as_amazon_signs_it(place: S3Location, store: Store, address: str, token: str) -> None:
    key = AccessKey(key_id=KEY.key_id, secret=KEY.secret, session_token=token)
    made = presigned(place, store, key, at=AT, lasts=300)
    bare, _, query = made.partition("?")
    said = {name: values[0] for name, values in parse_qs(query).items()}
    assert bare == address
    assert (said.get("versionId", ""), said["X-Amz-Expires"], said.get("X-Amz-Security-Token", "")) == (place.version, "300", token)
    unsigned = f"{bare}?{query.rpartition('&X-Amz-Signature=')[0]}"
    assert said["X-Amz-Signature"] == by_amazon(unsigned, said["X-Amz-Date"], store.region)


def by_amazon(url: str, moment: str, region: str) -> str:
    """The signature that botocore gives a GET of an address that says everything else."""
    theirs = S3SigV4QueryAuth(Credentials(KEY.key_id, KEY.secret), "s3", region, expires=300)
    request = AWSRequest(method="GET", url=url, headers={"host": urlsplit(url).netloc})
    request.context["timestamp"] = moment
    canonical = theirs.canonical_request(request)
    return str(theirs.signature(theirs.string_to_sign(request, canonical), request))


def test_a_secret_is_shown_by_nothing() -> None:
    assert KEY.secret not in repr(KEY)
