"""Tags: which of a host's count, and what filters make of them."""

import pytest

from coordinator.core.tags import TagFilter, TagFilterType, counting, sets_match, tags_match

FACTS = {"os": "linux", "arch": "x86_64"}


def of(key: str, value: str = "") -> TagFilter:
    """KEY, KEY=VALUE, or a value alone."""
    kind = TagFilterType.VALUE_ONLY if not key else TagFilterType.KEY_AND_VALUE if value else TagFilterType.KEY_ONLY
    return TagFilter(key=key, value=value, type=kind)


def test_facts_are_tags_under_a_prefix() -> None:
    assert counting({"role": "web"}, FACTS, "0.3") == {
        "role": "web",
        "fact:os": "linux",
        "fact:arch": "x86_64",
        "fact:version": "0.3",
    }


def test_a_host_cannot_declare_a_fact_as_a_tag() -> None:
    assert counting({"fact:os": "plan9", "fact:zone": "a"}, FACTS, "")["fact:os"] == "linux"
    assert "fact:zone" not in counting({"fact:zone": "a"}, FACTS, "")


@pytest.mark.parametrize(
    "filter, matches",
    [
        (of("fact:os"), True),
        (of("fact:os", "linux"), True),
        (of("fact:os", "windows"), False),
        (of("", "linux"), False),
        (of("", "web"), True),
    ],
)
def test_facts_are_asked_for_by_key_and_never_by_value_alone(filter: TagFilter, matches: bool) -> None:
    assert tags_match(counting({"role": "web"}, FACTS, ""), [filter]) is matches


def test_facts_and_tags_are_asked_for_together() -> None:
    sets = ((of("role", "web"),), (of("fact:arch", "aarch64"), of("fact:arch", "x86_64")))
    assert sets_match(counting({"role": "web"}, FACTS, ""), sets)
    assert not sets_match(counting({"role": "db"}, FACTS, ""), sets)
