"""What single columns look like: values of the core to columns and back.

Enums are stored as their numbers, sets as bits, small maps and lists as JSON text.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

from coordinator.core.lifecycle import DeploymentErrorCode, LifecycleEvent
from coordinator.core.model import (
    AutoRollbackEvent,
    BundleType,
    CoordinatorLocation,
    ErrorInformation,
    FileLocation,
    GitHubLocation,
    HttpLocation,
    MinimumHealthyHosts,
    MinimumHealthyHostsType,
    OfflineAction,
    OfflinePolicy,
    Place,
    Revision,
    RevisionId,
    S3Location,
    ServiceRole,
    Signature,
)
from coordinator.core.tags import TagFilter, TagFilterType, TagSets

Column = str | int | bytes | None
Row = tuple[Column, ...]

MINIMUM_NUMBERS: Final = {
    MinimumHealthyHostsType.HOST_COUNT: 1,
    MinimumHealthyHostsType.FLEET_PERCENT: 2,
    MinimumHealthyHostsType.MOST_CONCURRENCY: 3,
}
MINIMUM_TYPES: Final = {number: type for type, number in MINIMUM_NUMBERS.items()}
ROLLBACK_BITS: Final = {
    AutoRollbackEvent.DEPLOYMENT_FAILURE: 1,
    AutoRollbackEvent.DEPLOYMENT_STOP_ON_ALARM: 2,
    AutoRollbackEvent.DEPLOYMENT_STOP_ON_REQUEST: 4,
}
PLACE_TYPES: Final[dict[int, type[Place]]] = {1: CoordinatorLocation, 2: S3Location, 3: GitHubLocation, 4: HttpLocation, 5: FileLocation}
PLACE_NUMBERS: Final = {type: number for number, type in PLACE_TYPES.items()}


def text_of(value: object) -> str:
    """JSON without blanks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def map_of(text: str) -> dict[str, str]:
    """A map of texts from JSON."""
    found: dict[str, str] = json.loads(text)
    return found


def rollback_bits(events: Iterable[AutoRollbackEvent]) -> int:
    """What makes a deployment be rolled back, as bits."""
    return sum(ROLLBACK_BITS[event] for event in set(events))


def rollback_events(bits: int) -> frozenset[AutoRollbackEvent]:
    """The opposite of `rollback_bits`."""
    return frozenset(event for event, bit in ROLLBACK_BITS.items() if bits & bit)


def event_bits(events: Iterable[LifecycleEvent]) -> int:
    """The lifecycle events of a deployment, as bits: they are always in the order of their numbers."""
    return sum(1 << event for event in events)


def lifecycle_events(bits: int) -> tuple[LifecycleEvent, ...]:
    """The opposite of `event_bits`."""
    return tuple(event for event in LifecycleEvent if bits >> event & 1)


def filters_text(filters: Iterable[TagFilter]) -> str:
    """Tag filters as JSON."""
    return text_of([[one.key, one.value, int(one.type)] for one in filters])


def tag_filters(text: str) -> tuple[TagFilter, ...]:
    """The opposite of `filters_text`."""
    return tuple(TagFilter(key=key, value=value, type=TagFilterType(type)) for key, value, type in json.loads(text))


def sets_text(sets: TagSets) -> str:
    """Lists of tag filters as JSON."""
    return text_of([[[one.key, one.value, int(one.type)] for one in filters] for filters in sets])


def tag_sets(text: str) -> TagSets:
    """The opposite of `sets_text`."""
    return tuple(
        tuple(TagFilter(key=key, value=value, type=TagFilterType(type)) for key, value, type in filters) for filters in json.loads(text)
    )


def place_columns(place: Place) -> tuple[int, str]:
    """place_type, place."""
    return PLACE_NUMBERS[type(place)], text_of(asdict(place))


REVISION_COLUMNS: Final = ("revision_id", "place_type", "place", "bundle_type", "sha256", "statement", "signature")
"""What `revision` makes a revision of, in its order."""


def revision(
    revision_id: str, place_type: int, place: str, bundle_type: int, sha256: bytes, statement: str | None, signature: str | None
) -> Revision:
    """A revision from its columns."""
    return Revision(
        revision_id=RevisionId(revision_id),
        place=PLACE_TYPES[place_type](**json.loads(place)),
        bundle_type=BundleType(bundle_type),
        sha256=sha256,
        signature=None if statement is None or signature is None else Signature(statement=statement, signature=signature),
    )


def signature_columns(signature: Signature | None) -> tuple[str | None, str | None]:
    """statement, signature."""
    return (None, None) if signature is None else (signature.statement, signature.signature)


def minimum(type: int, value: int) -> MinimumHealthyHosts:
    """A minimum of healthy hosts from its columns."""
    return MinimumHealthyHosts(type=MINIMUM_TYPES[type], value=value)


def offline(action: int, wait: int, budget: int | None) -> OfflinePolicy:
    """What is done about hosts that are offline, from OFFLINE_COLUMNS."""
    return OfflinePolicy(action=OfflineAction(action), wait=wait, budget=budget)


def offline_columns(policy: OfflinePolicy) -> tuple[int, int, int | None]:
    """OFFLINE_COLUMNS of a policy."""
    return int(policy.action), policy.wait, policy.budget


def role(text: str) -> ServiceRole:
    """What the coordinator may do for a group."""
    said = json.loads(text)
    return ServiceRole(
        sources=tuple(said.get("sources", ())),
        max_hosts=said.get("max_hosts", 0),
        config_names=tuple(said.get("config_names", ())),
        automatic_rollback=said.get("automatic_rollback", True),
    )


def role_text(value: ServiceRole) -> str:
    """The same, without what bounds nothing."""
    bounds = asdict(value)
    return json.dumps({name: bound for name, bound in bounds.items() if bound != getattr(ServiceRole(), name)}, sort_keys=True)


OFFLINE_COLUMNS: Final = ("offline_action", "offline_wait", "offline_budget")


def error(code: int | None, message: str | None) -> ErrorInformation | None:
    """Why a deployment ended or stops, from its columns."""
    return None if code is None else ErrorInformation(code=DeploymentErrorCode(code), message=message or "")


def error_columns(error: ErrorInformation | None) -> tuple[int | None, str | None]:
    """The opposite of `error`."""
    return (None, None) if error is None else (int(error.code), error.message)
