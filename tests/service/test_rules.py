"""Revision ids are derived and stay what they are; tag filters are made plain."""

from hypothesis import given
from hypothesis import strategies as st

from coordinator.core.model import BundleType, FileLocation, GitHubLocation, HttpLocation, Place, S3Location
from coordinator.core.tags import TagFilter, TagFilterType
from coordinator.service.revisions import _derived, revision_id_of
from coordinator.service.rules import normalised

TEXT = st.text(max_size=5)
PLACES: st.SearchStrategy[Place] = st.one_of(
    st.builds(S3Location, bucket=TEXT, key=TEXT, version=TEXT, e_tag=TEXT),
    st.builds(GitHubLocation, repository=TEXT, commit_id=TEXT),
    st.builds(HttpLocation, url=TEXT),
    st.builds(FileLocation, path=TEXT),
)


def test_a_revision_id_never_changes_from_release_to_release() -> None:
    assert _derived(HttpLocation(url="https://example.org/shop.tgz"), BundleType.tgz, bytes(32)) == "r-853c15bb4c4413ff"
    assert _derived(FileLocation(path="/srv/shop"), BundleType.directory, b"") == "r-35aa6ac4daca159f"


@given(PLACES, PLACES)
def test_two_places_have_two_ids(one: Place, other: Place) -> None:
    ids = [_derived(place, BundleType.tgz, b"") for place in (one, other)]
    assert (ids[0] == ids[1]) == (one == other)
    assert [revision_id_of(text) for text in ids] == ids


@given(
    st.lists(
        st.builds(TagFilter, key=st.text("kl", min_size=1), value=st.text("vw", min_size=1), type=st.sampled_from(TagFilterType)),
        max_size=10,
    )
)
def test_plain_filters_match_as_before(filters: list[TagFilter]) -> None:
    plain = normalised(filters, field="x", least=0)
    assert normalised(plain, field="x", least=0) == plain
    assert len(set(plain)) == len(plain)
    for tags in ({"k": "v"}, {"l": "v"}, {"kk": "w"}, {}):
        assert any(one.matches(tags) for one in filters) == any(one.matches(tags) for one in plain)
