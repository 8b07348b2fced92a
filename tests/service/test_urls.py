"""What no agent would fetch cannot be registered."""

import pytest

from coordinator.core.addresses import URL_LENGTH
from coordinator.core.errors import InvalidRevision
from coordinator.service.urls import check_url
from tests.evil_urls import EVERYWHERE, HARMLESS, UNLESS_LISTED


@pytest.mark.parametrize("url", [*EVERYWHERE, "http://example.org/" + "x" * URL_LENGTH])
def test_an_evil_url_is_refused_and_never_quoted(url: str) -> None:
    with pytest.raises(InvalidRevision) as caught:
        check_url(url)
    assert caught.value.field == "location.http.url"
    assert "password@" not in str(caught.value)


@pytest.mark.parametrize("url", [*HARMLESS, *UNLESS_LISTED])
def test_a_url_that_some_agent_may_fetch_is_accepted(url: str) -> None:
    check_url(url)
