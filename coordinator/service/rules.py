"""What names, descriptions and tags must look like, whoever asks."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from coordinator.core.errors import Invalid
from coordinator.core.model import OfflinePolicy, ServiceRole
from coordinator.core.model.roles import pattern_of
from coordinator.core.tags import FACT_PREFIX, TAG_KEY_LENGTH, TAG_VALUE_LENGTH, TAGS_AT_MOST, TagFilter, TagFilterType, TagSets

DESCRIPTION_LENGTH = 256
TAG_FILTERS = 10
TAG_SETS = 3
"""Lists, and tag filters in all of them together (spec 5)."""
ROLE_NAMES = 50
"""Sources, and configs, that a service role may list."""
WAIT_AT_MOST = 7 * 86_400_000
"""Milliseconds that a deployment may wait for a host that is offline."""
RESERVED_PREFIX = "CodeDeployDefault."

_NAME = re.compile(r"[A-Za-z0-9._+=,@-]{1,100}")


def check_name(name: str, *, field: str) -> None:
    """Raise Invalid unless `name` may be the name of an application, a deployment group or a deployment config."""
    if not _NAME.fullmatch(name):
        said = repr(name[:120]) if name else "an empty name"
        raise Invalid(f"cannot accept {said} as {field}: use 1 to 100 characters of A-Z a-z 0-9 . _ + = , @ -", field=field)


def check_description(description: str, *, field: str = "description") -> None:
    """Raise Invalid if a description is too long."""
    if len(description) > DESCRIPTION_LENGTH:
        raise Invalid(f"cannot accept a {field} of {len(description)} characters: {DESCRIPTION_LENGTH} is the most", field=field)


def checked_sources(sources: Sequence[str], *, field: str) -> tuple[str, ...]:
    """Patterns of sources, spelt as they are kept. Raises Invalid."""
    if len(sources) > ROLE_NAMES:
        raise Invalid(f"cannot keep {len(sources)} sources: {ROLE_NAMES} are the most", field=field)
    try:
        return tuple(dict.fromkeys(pattern_of(one) for one in sources))
    except ValueError as error:
        raise Invalid(str(error), field=field) from error


def checked_role(role: ServiceRole, *, field: str) -> ServiceRole:
    """A service role with its sources spelt as they are kept. Raises Invalid."""
    if not 0 <= role.max_hosts <= 1_000_000:
        raise Invalid(f"cannot allow {role.max_hosts} hosts: say 1 to 1,000,000, or 0 for any number", field=f"{field}.max_hosts")
    sources = checked_sources(role.sources, field=f"{field}.sources")
    if len(role.config_names) > ROLE_NAMES:
        raise Invalid(f"cannot keep {len(role.config_names)} configs: {ROLE_NAMES} are the most", field=f"{field}.deployment_config_names")
    for name in role.config_names:
        check_name(name, field=f"{field}.deployment_config_names")
    return replace(role, sources=sources, config_names=tuple(dict.fromkeys(role.config_names)))


def check_offline(policy: OfflinePolicy, *, field: str) -> None:
    """Raise Invalid unless hosts can be waited for so long, and so many left out."""
    if not 0 < policy.wait <= WAIT_AT_MOST:
        raise Invalid(f"cannot wait {policy.wait // 1000} s for hosts that are offline: 1 s to 7 days are allowed", field=f"{field}.wait")
    if policy.budget is not None and policy.budget < 0:
        raise Invalid(f"cannot leave out {policy.budget} hosts: the budget must be 0 or more", field=f"{field}.budget")


def check_tags(tags: Mapping[str, str], *, field: str) -> None:
    """Raise Invalid unless there are tags and each may stand on a host."""
    if not tags:
        raise Invalid("cannot add no tags: name at least one", field=field)
    if len(tags) > TAGS_AT_MOST:
        raise Invalid(f"cannot add {len(tags)} tags at once: {TAGS_AT_MOST} is the most", field=field)
    for key, value in tags.items():
        check_tag_key(key, field=field)
        if key.startswith(FACT_PREFIX):
            raise Invalid(f"cannot set tag {key!r}: keys that begin with {FACT_PREFIX} are what agents see of their hosts", field=field)
        if len(value) > TAG_VALUE_LENGTH:
            raise Invalid(f"cannot accept the value of tag {key!r}: {len(value)} characters, {TAG_VALUE_LENGTH} is the most", field=field)


def check_tag_key(key: str, *, field: str) -> None:
    """Raise Invalid unless `key` may be the key of a tag."""
    if not 1 <= len(key) <= TAG_KEY_LENGTH:
        raise Invalid(f"cannot accept tag key {key[:140]!r}: it must have 1 to {TAG_KEY_LENGTH} characters", field=field)


def normalised(filters: Sequence[TagFilter], *, field: str, least: int) -> tuple[TagFilter, ...]:
    """The filters without repeats, each with only what it compares. Raises Invalid for what can match nothing, too few and too many."""
    if not least <= len(filters) <= TAG_FILTERS:
        raise Invalid(f"cannot accept {len(filters)} tag filters: {least} to {TAG_FILTERS} are allowed", field=field)
    return tuple(dict.fromkeys(_normalised(one, f"{field}[{index}]") for index, one in enumerate(filters)))


def normalised_sets(sets: Sequence[Sequence[TagFilter]], *, field: str) -> TagSets:
    """The lists, each as `normalised` makes it. Raises Invalid for too many, and for two that no host can both match."""
    if len(sets) > TAG_SETS:
        raise Invalid(f"cannot accept {len(sets)} lists of tag filters: {TAG_SETS} is the most", field=field)
    found = tuple(normalised(one, field=f"{field}[{index}].tag_filters", least=1) for index, one in enumerate(sets))
    if (filters := sum(map(len, found))) > TAG_FILTERS:
        raise Invalid(f"cannot accept {filters} tag filters in all lists together: {TAG_FILTERS} is the most", field=field)
    for one, other in combinations(found, 2):
        keys = {filter.key for filter in (*one, *other)}
        exact = all(filter.type is TagFilterType.KEY_AND_VALUE for filter in (*one, *other))
        if exact and len(keys) == 1 and not set(one) & set(other):
            raise Invalid(
                f"cannot accept two lists that ask tag {keys.pop()!r} for different values: no host matches both; put them into one list",
                field=field,
            )
    return found


def _normalised(one: TagFilter, field: str) -> TagFilter:
    if one.type is TagFilterType.VALUE_ONLY:
        if not one.value:
            raise Invalid("cannot filter by a tag's value without one: give a key, a value, or both", field=f"{field}.value")
        one = replace(one, key="")
    else:
        check_tag_key(one.key, field=f"{field}.key")
        one = one if one.type is TagFilterType.KEY_AND_VALUE else replace(one, value="")
    if len(one.value) > TAG_VALUE_LENGTH:
        raise Invalid(f"cannot filter by a value of {len(one.value)} characters: {TAG_VALUE_LENGTH} is the most", field=f"{field}.value")
    return one
