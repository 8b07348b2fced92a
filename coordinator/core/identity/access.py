"""Who may do what: principals, what they show and were granted, and the one table of what each role allows.

Pure; knows no methods and no requests: `api/policy.py` says which permission a call takes, and where.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from coordinator.core.errors import Conflict, Invalid


class Role(IntEnum):
    """What a grant allows; the numbers are the protos'."""

    Viewer = 1
    Deployer = 2
    Approver = 3
    Admin = 4


class Permission(StrEnum):
    """What a call may take, in the words of a refusal."""

    View = "view"
    Deploy = "deploy"
    Release = "approve deployments"
    Approve = "approve hosts"
    Configure = "configure"
    Access = "administer access"


PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.Viewer: frozenset({Permission.View}),
    Role.Deployer: frozenset({Permission.View, Permission.Deploy}),
    Role.Approver: frozenset({Permission.View, Permission.Deploy, Permission.Release, Permission.Approve}),
    Role.Admin: frozenset(Permission),
}


@dataclass(frozen=True, slots=True)
class Grant:
    """A role, everywhere or in a part; empty names mean all."""

    role: Role
    application: str = ""
    group: str = ""

    def __str__(self) -> str:
        """As a person reads it: "deployer of shop/web"."""
        where = "/".join(name for name in (self.application, self.group) if name)
        return f"{self.role.name.lower()} of {where}" if where else self.role.name.lower()


class Kind(StrEnum):
    """What a principal is."""

    Local = "local"
    """Whoever reaches the admin socket, or a coordinator that listens on loopback only, in plaintext."""
    Operator = "operator"
    Invited = "invited"
    """An operator who shows a token for a certificate, and may do nothing but take it."""
    Agent = "agent"
    """Whoever shows an agent's certificate; which one, the gateway knows."""
    Machine = "machine"
    """Whoever reaches the listener where machines ask to become hosts."""
    Nobody = "nobody"
    """Whoever shows nothing."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls."""

    kind: Kind
    name: str = ""
    grants: tuple[Grant, ...] = ()
    address: str = ""
    """Where the call comes from."""
    expires_at: int | None = None
    """When what they showed ends, UTC milliseconds."""
    shown: str = ""
    """The id of the token or certificate that they showed; empty: neither."""
    barred: str = ""
    """Why they may not come in, in a sentence, though it is known who they are; empty: they may."""

    def __str__(self) -> str:
        """What the history gets: "local", "operator:anna"."""
        return f"{self.kind}:{self.name}" if self.name else self.kind.value


class OperatorStatus(IntEnum):
    """Whether an operator may come in; the numbers are the protos'."""

    Active = 1
    Suspended = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Somebody who may call."""

    name: str
    status: OperatorStatus
    grants: tuple[Grant, ...]
    created_at: int
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorToken:
    """What an operator calls with; its text is known to nobody but them. No grants: all that its operator may do."""

    token_id: str
    operator: str
    expires_at: int
    grants: tuple[Grant, ...]
    description: str
    created_at: int
    created_by: str
    revoked: bool = False
    certificate_lifetime: int | None = None
    """Milliseconds for which the one certificate lasts that it is good for; None: it is to call with."""

    @property
    def id(self) -> str:
        """By which it is revoked."""
        return self.token_id

    @property
    def named(self) -> str:
        """As a refusal calls it."""
        return f"token {self.token_id}"


class Leaf(NamedTuple):
    """One certificate, by its digest."""

    sha256: bytes
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCertificate:
    """What an operator calls with, through its renewals. No grants: all that its operator may do."""

    certificate_id: str
    operator: str
    newest: Leaf
    previous: Leaf | None
    """The one before, which stays good until it ends: the answer to a renewal may be lost. None: it was never renewed."""
    key: str
    """The digest of the newest one's key."""
    lifetime: int
    """Milliseconds that each renewal lasts."""
    grants: tuple[Grant, ...]
    description: str
    created_at: int
    created_by: str
    renewed_at: int | None = None
    revoked: bool = False

    @property
    def id(self) -> str:
        """By which it is revoked."""
        return self.certificate_id

    @property
    def named(self) -> str:
        """As a refusal calls it."""
        return f"certificate {self.certificate_id}"

    @property
    def expires_at(self) -> int:
        """When it ends, unless it is renewed before."""
        return self.newest.expires_at

    def leaf(self, sha256: bytes) -> Leaf | None:
        """The one with this digest, if it is the newest or the one before."""
        return next((one for one in (self.newest, self.previous) if one is not None and one.sha256 == sha256), None)


def permits(grants: Iterable[Grant], permission: Permission, application: str | None, group: str | None) -> bool:
    """Whether any of the grants allows this there.

    An empty name is all applications, or all groups of one. None is what they share: whoever may do it to any of them may do it to that.
    """
    return any(permission in PERMISSIONS[one.role] and _covers(one, application, group) for one in grants)


def principal(shown: OperatorToken | OperatorCertificate, operator: Operator, *, expires_at: int, at: int, address: str) -> Principal:
    """Who calls with a token or a certificate that ends then, and what they may do now: nothing, when it or its operator is no good."""
    name, why = operator.name, ""
    calls = isinstance(shown, OperatorToken) and shown.certificate_lifetime is None
    again = f"have `hookline operator {'token' if calls else 'certificate'} create {name}` run, and log in"
    if shown.revoked:
        why = f"the {shown.named} was revoked; {again} with another"
    elif expires_at <= at:
        why = f"the {shown.named} has ended; {again} anew"
    elif operator.status is not OperatorStatus.Active:
        why = f"the account is suspended; an admin may `hookline operator resume {name}`"
    kind = Kind.Operator if calls or isinstance(shown, OperatorCertificate) else Kind.Invited
    if why:
        return Principal(kind, name, (), address, shown=shown.id, barred=f"cannot let {name} in: {why}")
    grants = narrowed(operator.grants, shown.grants) if kind is Kind.Operator else ()
    return Principal(kind, name, grants, address, expires_at, shown.id)


def renewed(certificate: OperatorCertificate, *, shown: bytes, new: Leaf, key: str, at: int) -> OperatorCertificate:
    """The certificate after a renewal by whoever showed one of it: one step on; the same again for a repeat whose answer was lost; or
    revoked, because two have renewed it and so one of them has a copy. Raises Invalid for a key that is not new, and Conflict while two are
    good: what is good and neither the newest nor the one before would let its holder renew unseen."""
    if shown == certificate.newest.sha256:
        if key == certificate.key:
            raise Invalid("cannot renew a certificate for the key that it has already: make a new one", field="certificate_request")
        if certificate.previous is not None and certificate.previous.expires_at > at:
            raise Conflict(
                f"cannot renew the {certificate.named} again yet: the one before this is still good, and no more than two may be"
            )
        return replace(certificate, newest=new, previous=certificate.newest, key=key, renewed_at=at)
    if key == certificate.key:
        return replace(certificate, newest=new, renewed_at=at)
    return replace(certificate, revoked=True)


def narrowed(grants: tuple[Grant, ...], token: tuple[Grant, ...]) -> tuple[Grant, ...]:
    """What is left of an operator's grants with a token that has grants of its own: what both allow."""
    if not token:
        return grants
    both = (_meet(one, other) for one in grants for other in token)
    return tuple(dict.fromkeys(grant for grant in both if grant is not None))


def _covers(grant: Grant, application: str | None, group: str | None) -> bool:
    if application is not None and grant.application not in ("", application):
        return False
    return group is None or application is None or grant.group in ("", group)


def _meet(one: Grant, other: Grant) -> Grant | None:
    role = min(one.role, other.role)
    if one.application and other.application and one.application != other.application:
        return None
    if one.group and other.group and one.group != other.group:
        return None
    return Grant(role, one.application or other.application, one.group or other.group)
