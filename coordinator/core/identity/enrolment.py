"""The rules by which a machine becomes a host: who may use a join token, and when a renewal shows that there are two of it.

Pure; the store asks them within its transactions, so that a hundred uses of one token at once still are one use.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from fnmatch import fnmatchcase

from coordinator.core.errors import Conflict, Denied
from coordinator.core.model import HostId


class EnrolmentStatus(IntEnum):
    """What became of a machine that asked to become a host. The numbers are the protos'."""

    Pending = 1
    Approved = 2
    Revoked = 3
    """For ever."""
    Locked = 4
    """Two machines have used the identity."""
    Away = 5
    """It came back so late that somebody has to approve it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """What lets machines ask; its text is known to nobody but who made it."""

    token_id: str
    expires_at: int
    uses_left: int
    tags: Mapping[str, str]
    auto_approve: bool
    trust_tags: bool
    name_pattern: str
    created_at: int
    created_by: str
    revoked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A machine that has asked. Keys are SHA-256 digests, hexadecimal."""

    host_id: HostId
    name: str
    status: EnrolmentStatus
    key: str
    """Of its newest certificate, or of the request for its first."""
    generation: int = 0
    """How often its certificate was renewed."""
    expires_at: int | None = None
    """When its newest certificate ends; None while it has none that is worth anything."""
    requested_at: int
    address: str
    token_id: str
    tags: Mapping[str, str]
    trust_tags: bool
    name_of: HostId | None = None
    """The host that has the name for which this machine waits, if another has it."""


def check_token(token: JoinToken | None, name: str, *, at: int) -> JoinToken:
    """The token, if a machine of that name may use it now. Raises Denied."""
    if token is None:
        why = "it is unknown"
    elif token.revoked:
        why = "it was revoked"
    elif token.expires_at <= at:
        why = "it has ended"
    elif token.uses_left < 1:
        why = "it was used already"
    elif token.name_pattern and not fnmatchcase(name, token.name_pattern):
        raise Denied(f"cannot enrol {name}: this join token is for hosts named {token.name_pattern}; start the agent with such a --host")
    else:
        return token
    raise Denied(f"cannot enrol {name} with this join token: {why}; make another with `hookline token create`")


def check_welcome(enrolment: Enrolment) -> None:
    """Raise Denied, with a sentence for its agent, unless the host may come in."""
    name = enrolment.name
    match enrolment.status:
        case EnrolmentStatus.Approved:
            return
        case EnrolmentStatus.Pending:
            raise Denied(f"cannot let {name} in yet: it waits for `hookline hosts approve {name}`")
        case EnrolmentStatus.Revoked:
            raise Denied(f"cannot let {name} in: it was revoked, which is for ever; enrol the machine anew with a join token")
        case EnrolmentStatus.Away:
            raise Denied(f"cannot let {name} in yet: it was away for so long that it waits for `hookline hosts approve {name}`")
        case EnrolmentStatus.Locked:
            raise Denied(
                f"cannot let {name} in: two machines have used its identity, so one is a copy of the other; stop the copy, then "
                f"`hookline hosts approve {name}`"
            )


def check_decision(enrolment: Enrolment, status: EnrolmentStatus, *, rival: str | None) -> None:
    """Raise Conflict unless an operator may let this host in, or shut it out. `rival`: a machine that waits for its name."""
    name = enrolment.name
    if enrolment.status is EnrolmentStatus.Revoked:
        raise Conflict(f"cannot change host {name}: it was revoked, which is for ever; enrol the machine anew")
    if status is not EnrolmentStatus.Approved:
        return
    if enrolment.name_of is not None:
        raise Conflict(
            f"cannot approve {enrolment.host_id} as {name}: host id {enrolment.name_of} has that name; if this machine takes its place, "
            f"`hookline hosts adopt {name}`, and if it is another, `hookline hosts rename {enrolment.host_id} NAME` first"
        )
    if rival is not None and enrolment.status is EnrolmentStatus.Approved:
        raise Conflict(
            f"cannot approve {name}: that host is approved already, and the machine {rival} waits for its name; `hookline hosts adopt "
            f"{name}` lets it take that host's place, and `hookline hosts rename {rival} NAME` makes it another"
        )


def adopted(host: Enrolment, machine: Enrolment) -> tuple[Enrolment, Enrolment]:
    """Both, after a machine that waits has taken the place of a host: its name and its tags. Host ids are never used twice, so what has
    happened on the machine before stays the history of the id that it had, which is shut out for ever. Raises Conflict."""
    if host.status in (EnrolmentStatus.Revoked, EnrolmentStatus.Pending):
        raise Conflict(
            f"cannot have {host.name} adopted: it is no host; let the machine in with `hookline hosts approve {machine.host_id}`"
        )
    if machine.status is not EnrolmentStatus.Pending:
        raise Conflict(
            f"cannot let {machine.name} take the place of {host.name}: it does not wait to be let in; have it join (with --again, if it is "
            "a host already), and adopt it before it is approved"
        )
    return (
        replace(host, status=EnrolmentStatus.Revoked),
        replace(machine, status=EnrolmentStatus.Approved, name=host.name, tags=host.tags, trust_tags=host.trust_tags, name_of=None),
    )


def renewed(enrolment: Enrolment, *, generation: int, key: str, expires_at: int) -> Enrolment:
    """The enrolment after a renewal: one generation on, the same again for a repeat whose answer was lost, or Locked.

    Each renewal counts. Of two machines with one identity the second to renew names a generation that is past, with a key that nobody
    has seen. Raises Denied for a host that may not come in.
    """
    check_welcome(enrolment)
    if generation == enrolment.generation:
        return replace(enrolment, generation=generation + 1, key=key, expires_at=expires_at)
    if generation == enrolment.generation - 1 and key == enrolment.key:
        return replace(enrolment, expires_at=expires_at)
    return replace(enrolment, status=EnrolmentStatus.Locked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who has shown that they hold the key of a certificate that this authority gave, whether or not it has ended."""

    host_id: HostId
    key: str
    ended_at: int


def readmitted(enrolment: Enrolment, shown: Holder, *, generation: int, key: str, expires_at: int, at: int, within: int) -> Enrolment:
    """The enrolment after a host that was away for longer than its certificate lasted has come back: renewed, when it is the newest
    certificate that ended, `within` so many milliseconds or after an operator's word; Away, when it was longer ago.

    The key of any older certificate shows that there are two of it: Locked, as in a renewal. One that ended too long ago to be of any use
    changes nothing, or whoever starts a disk of last year would shut out the host of today. Raises Denied then, and for who may not come.
    """
    waits = enrolment.status is EnrolmentStatus.Away
    if not waits:
        check_welcome(enrolment)
    newest = generation == enrolment.generation and shown.key == enrolment.key
    repeated = generation == enrolment.generation - 1 and key == enrolment.key
    if not newest and not repeated:
        if at > shown.ended_at + within:
            raise Denied(
                f"cannot let {enrolment.name} in: its certificate ended long ago, and the host of that name has had others since; if this "
                "is the machine that is to be that host, join again, and have it adopted with `hookline hosts adopt`"
            )
        return replace(enrolment, status=EnrolmentStatus.Locked)
    if waits:
        return enrolment
    if enrolment.expires_at is not None and at > enrolment.expires_at + within:
        return replace(enrolment, status=EnrolmentStatus.Away, expires_at=None)
    return replace(enrolment, generation=generation + 1, key=key, expires_at=expires_at)
