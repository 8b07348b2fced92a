"""Tags of hosts, and the filters by which a deployment group finds its hosts (spec 3.3)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

TAGS_AT_MOST: Final = 64
"""Tags that an agent may declare, and that an operator may set at once (architecture 3.2)."""

TAG_KEY_LENGTH: Final = 128
TAG_VALUE_LENGTH: Final = 256
"""Characters, as in Amazon EC2."""

FACT_PREFIX: Final = "fact:"
"""How the keys of tags begin that are a host's facts. Nobody else may set such a tag."""


def counting(declared: Mapping[str, str], facts: Mapping[str, str], agent_version: str) -> dict[str, str]:
    """The tags of a host that is believed: those that it declares, and what its agent sees of it, as `fact:os`, `fact:version`."""
    own = {key: value for key, value in declared.items() if not key.startswith(FACT_PREFIX)}
    return own | {f"{FACT_PREFIX}{key}": value for key, value in {**facts, "version": agent_version}.items() if value}


def tags_match(tags: Mapping[str, str], filters: Iterable["TagFilter"]) -> bool:
    """Whether a host with `tags` matches any of `filters` (spec 3.3: OR within a list)."""
    return any(one.matches(tags) for one in filters)


TagSets = tuple[tuple["TagFilter", ...], ...]
"""Lists of filters: a host matches when it matches any filter of every list (spec 3.3: AND of ORs)."""


def sets_match(tags: Mapping[str, str], sets: TagSets) -> bool:
    """Whether a host with `tags` matches every list; without lists none does."""
    return bool(sets) and all(tags_match(tags, filters) for filters in sets)


class TagFilterType(IntEnum):
    """How a tag filter compares (spec 3.3)."""

    KEY_ONLY = 1
    VALUE_ONLY = 2
    KEY_AND_VALUE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TagFilter:
    """One condition on a host's tags."""

    key: str
    value: str
    type: TagFilterType

    def matches(self, tags: Mapping[str, str]) -> bool:
        """Whether a host with `tags` meets the condition."""
        match self.type:
            case TagFilterType.KEY_ONLY:
                return self.key in tags
            case TagFilterType.VALUE_ONLY:  # facts have to be asked for: nobody has chosen their values as tags
                return any(value == self.value for key, value in tags.items() if not key.startswith(FACT_PREFIX))
            case TagFilterType.KEY_AND_VALUE:
                return tags.get(self.key) == self.value
