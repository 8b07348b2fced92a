"""What a service role lets the coordinator do: sources that cannot be stretched, hosts, configs."""

import pytest

from coordinator.core.model import (
    BundleType,
    CoordinatorLocation,
    FileLocation,
    GitHubLocation,
    HttpLocation,
    Revision,
    RevisionId,
    S3Location,
    ServiceRole,
)
from coordinator.core.model.revisions import Place
from coordinator.core.model.roles import covers, pattern_of, source_of


def revision(place: Place) -> Revision:
    return Revision(revision_id=RevisionId("r-1"), place=place, bundle_type=BundleType.tgz, sha256=b"")


@pytest.mark.parametrize(
    "place, source",
    [
        (CoordinatorLocation(size=7), "coordinator"),
        (HttpLocation(url="HTTPS://Bundles.Example:8443/Shop/4.tgz?x=1"), "https://bundles.example:8443/Shop/4.tgz?x=1"),
        (S3Location(bucket="bundles", key="shop/4.tgz"), "s3://bundles/shop/4.tgz"),
        (GitHubLocation(repository="Shop/Web", commit_id="1" * 40), "github://shop/web"),
        (FileLocation(path="/srv/shop"), "file:///srv/shop"),
    ],
)
def test_a_place_is_one_source(place: Place, source: str) -> None:
    assert source_of(place) == source
    assert covers(pattern_of(source), source)


@pytest.mark.parametrize(
    "pattern, inside, outside",
    [
        ("coordinator", "coordinator", "https://coordinator/x"),
        ("https://bundles.example/shop/*", "https://bundles.example/shop/4.tgz", "https://bundles.example/shopping/4.tgz"),
        ("https://bundles.example/*", "https://bundles.example/a/b", "https://bundles.example.evil.test/a"),
        ("https://bundles.example/*", "https://bundles.example/a", "http://bundles.example/a"),
        ("https://bundles.example/*", "https://bundles.example/a%20b", "https://bundles.example:8443/a"),
        ("https://bundles.example/shop/*", "https://bundles.example/shop/..a", "https://bundles.example/shop/../other"),
        ("https://bundles.example/shop/*", "https://bundles.example/shop/a", "https://bundles.example/shop/%2e%2E/other"),
        ("https://bundles.example/shop/*", "https://bundles.example/shop/a", "https://bundles.example/shop/x%2f..%2fother"),
        ("https://bundles.example/shop/*", "https://bundles.example/shop/a", "https://bundles.example/shop/%252e%252e/other"),
        ("https://bundles.example/shop/*", "https://bundles.example/shop/a", "https://bundles.example/shop/"),
        ("s3://bundles/*", "s3://bundles/shop/4.tgz", "s3://bundles-evil/shop/4.tgz"),
        ("github://shop/*", "github://shop/web", "github://shopper/web"),
        ("file:///srv/*", "file:///srv/shop", "file:///etc/shop"),
    ],
)
def test_a_pattern_covers_what_lies_below_it_and_nothing_that_only_looks_so(pattern: str, inside: str, outside: str) -> None:
    kept = pattern_of(pattern)
    assert covers(kept, inside)
    assert not covers(kept, outside)


@pytest.mark.parametrize(
    "typed",
    ["", "*", "https://*", "https:///*", "https://bundles.example*", "https://*.example/*", "ftp://a/b", "coordinator/*", "s3://a/"],
)
def test_a_pattern_that_could_cover_more_than_it_seems_to_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="cannot allow the source"):
        pattern_of(typed)


def test_names_of_hosts_and_github_are_spelt_one_way() -> None:
    assert pattern_of("https://Bundles.Example/Shop/*") == "https://bundles.example/Shop/*"
    assert pattern_of("github://Shop/*") == "github://shop/*"


def test_what_is_left_out_bounds_nothing() -> None:
    assert ServiceRole().refuses(revision(FileLocation(path="/x")), "any", hosts=10_000) == ""


def test_each_bound_is_told_in_words() -> None:
    role = ServiceRole(sources=("coordinator",), max_hosts=2, config_names=("Gentle",))
    pushed = revision(CoordinatorLocation(size=1))
    assert role.refuses(pushed, "Gentle", hosts=2) == ""
    assert "r-1 comes from file:///x" in role.refuses(revision(FileLocation(path="/x")), "Gentle", hosts=1)
    assert "not with Fast" in role.refuses(pushed, "Fast", hosts=1)
    assert "and not roll back with Fast" in role.refuses(pushed, "Gentle", hosts=1, back="Fast")
    assert role.refuses(pushed, "Gentle", hosts=1, back="Gentle") == ""
    assert "at most 2 of its hosts, and these are 3" in role.refuses(pushed, "Gentle", hosts=3)
