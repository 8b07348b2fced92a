"""Keys for sources: references in a file that is read again, never secrets in it; what is lent holds none."""

import os
from pathlib import Path

import pytest

from coordinator.adapters.clock import SystemClock
from coordinator.adapters.sources.credentials import SourceCredentials, Unreadable
from coordinator.core.errors import Unavailable
from coordinator.core.model import BundleType, HttpLocation, Revision, RevisionId, S3Location
from coordinator.core.model.revisions import Place
from coordinator.service.sources.lending import Lent


def revision(place: Place) -> Revision:
    return Revision(revision_id=RevisionId("r-1"), place=place, bundle_type=BundleType.tgz, sha256=b"")


PLACE = revision(S3Location(bucket="bundles", key="shop/1.tgz"))
ENTRY = """
[[s3]]
source = "s3://bundles/*"
region = "eu-central-1"
access_key_id = "AKIDEXAMPLE"
secret_access_key = {secret}
"""


def written(directory: Path, secret: str, more: str = "") -> Path:
    file = directory / "sources.toml"
    file.write_text(ENTRY.replace("{secret}", secret) + more)
    return file


@pytest.fixture
def secret(tmp_path: Path) -> str:
    (tmp_path / "key").write_text("never to be seen\n")
    return f'{{file = "{tmp_path}/key"}}'


async def test_a_key_is_used_for_its_sources_and_for_nothing_else(tmp_path: Path, secret: str) -> None:
    credentials = SourceCredentials(written(tmp_path, secret, "lasts = 60\n"), SystemClock())
    lent = await credentials.lend(PLACE)
    assert isinstance(lent, Lent)
    assert lent.lasts == 60
    assert lent.url.startswith("https://bundles.s3.eu-central-1.amazonaws.com/shop/1.tgz?X-Amz-Algorithm=AWS4-HMAC-SHA256&")
    assert "never" not in lent.url
    assert await credentials.lend(revision(S3Location(bucket="others", key="shop/1.tgz"))) is None
    assert await credentials.lend(revision(HttpLocation(url="https://bundles/shop"))) is None


@pytest.mark.parametrize("reference", ['{env = "A_KEY"}', '{command = ["printf", "never to be seen"]}'])
async def test_a_secret_may_stand_in_the_environment_or_come_from_a_command(
    tmp_path: Path, reference: str, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "never to be seen")
    clock = Fixed()
    one = await SourceCredentials(written(tmp_path, reference), clock).lend(PLACE)
    assert one == await SourceCredentials(written(tmp_path, secret), clock).lend(PLACE)


class Fixed(SystemClock):
    """Always now."""

    def now(self) -> int:
        return 1_795_000_000_000


async def test_a_secret_that_is_not_there_is_known_before_anybody_needs_it(
    tmp_path: Path, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="coordinator")
    await SourceCredentials(written(tmp_path, secret), SystemClock()).check()
    assert caplog.messages == ["credential works source=s3://bundles/*"]
    await SourceCredentials(written(tmp_path, secret.replace("key", "gone")), SystemClock()).check()
    assert f"why='cannot get the secret of file {tmp_path}/gone: No such file or directory'" in caplog.text


async def test_a_file_that_was_replaced_counts_at_once_and_one_that_is_wrong_lends_nothing(
    tmp_path: Path, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    credentials = SourceCredentials(written(tmp_path, secret), SystemClock())
    replaced(tmp_path, written(tmp_path / "..", secret.replace("key", "gone")).read_text())
    with pytest.raises(Unavailable, match="cannot look its own up; its log says why"):
        await credentials.lend(PLACE)
    assert f"cannot get the secret of file {tmp_path}/gone: No such file" in caplog.text
    replaced(tmp_path, "[[s3]]\n")
    with pytest.raises(Unavailable):
        await credentials.lend(PLACE)
    replaced(tmp_path, ENTRY.replace("{secret}", secret).replace("bundles", "others"))
    assert await credentials.lend(PLACE) is None


def replaced(directory: Path, text: str) -> None:
    (directory / "new").write_text(text)
    os.replace(directory / "new", directory / "sources.toml")


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "consists of [[s3]], [[github]] and [[oauth]] tables"),
        ("[http]\n", "consists of [[s3]], [[github]]"),
        ('[[s3]]\nsource = "s3://b/*"\n', "each [[s3]] says access_key_id, region, secret_access_key, source"),
        (ENTRY.replace("{secret}", '"AKIASECRET"'), "no secret stands here itself"),
        (ENTRY.replace("{secret}", '{file = "key"}'), "no secret stands here itself"),
        (ENTRY.replace("{secret}", '{env = "A", file = "/b"}'), "no secret stands here itself"),
        (ENTRY.replace("{secret}", '{env = "A"}').replace("s3://bundles/*", "https://bundles/*"), "is none such as s3://BUCKET/*"),
        (ENTRY.replace("{secret}", '{env = "A"}') + "lasts = 86400\n", "lasts 30 to 3600 seconds"),
        (ENTRY.replace("{secret}", '{env = "A"}') + 'endpoint = "s3.example.com"\n', "is no address such as https://"),
        ("[[s3]", "cannot read"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_a_sentence_and_without_what_it_holds(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "sources.toml").write_text(text)
    with pytest.raises(Unreadable) as refused:
        SourceCredentials(tmp_path / "sources.toml", SystemClock())
    assert why in str(refused.value)
    assert "AKIASECRET" not in str(refused.value)
