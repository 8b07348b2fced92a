"""How machines become hosts: join tokens, requests, approvals, certificates and their renewal; and who of them may come in."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from coordinator.core.errors import Conflict, Denied, Invalid
from coordinator.core.facts import RequestKey
from coordinator.core.identity.enrolment import Enrolment, EnrolmentStatus, JoinToken, check_welcome
from coordinator.core.model import HostId
from coordinator.core.tags import TagFilter, TagFilterType
from coordinator.engine.ports import Clock
from coordinator.service.enrolment.departures import Departures
from coordinator.service.enrolment.ports import Applicant, Authority, Certificate, Enrolments, Returning, Secrets, WantedToken
from coordinator.service.ports import Catalog, Cursor, Page, Replayed
from coordinator.service.rules import check_description, check_name, check_tags

TTL: Final = 15 * 60_000
"""Milliseconds that a join token can be used (threat 6: at most 15 minutes, unless somebody wants more)."""

TTL_AT_MOST: Final = 24 * 3_600_000
USES_AT_MOST: Final = 10_000
PATTERN_LENGTH: Final = 100

READMIT_WITHIN: Final = 7 * 86_400_000
"""Milliseconds after the end of its certificate in which a host comes back by itself: a holiday, or a coordinator that was away."""

ASK_AGAIN_AFTER: Final = 5_000
"""Milliseconds after which a machine that waits for its approval asks again."""


class Readmission(NamedTuple):
    """What became of a host that came back."""

    enrolment: Enrolment
    certificate: Certificate | None
    """None: it may not come in."""
    news: bool
    """Whether anything has changed by that."""


class EnrolmentService:
    """Lets machines in, keeps them out, and knows at any moment who is who."""

    def __init__(
        self,
        enrolments: Enrolments,
        catalog: Catalog,
        *,
        authority: Authority,
        secrets: Secrets,
        clock: Clock,
        departures: Departures,
        readmit_within: int = READMIT_WITHIN,
    ) -> None:
        """Who is revoked leaves by `departures`, at whose doors everything takes effect. `readmit_within`: so many milliseconds after its
        certificate has ended a host may come back by itself."""
        self._readmit_within = readmit_within
        self._enrolments = enrolments
        self._catalog = catalog
        self._authority = authority
        self._secrets = secrets
        self._clock = clock
        self._departures = departures
        self._known: dict[HostId, Enrolment] = {}

    @property
    def trust(self) -> bytes:
        """The roots that hosts have to trust, PEM."""
        return self._authority.trust

    @property
    def fingerprint(self) -> str:
        """Of the newest root: what a join command carries."""
        return self._authority.fingerprint

    async def start(self) -> None:
        """Read who is who."""
        for enrolment in await self._enrolments.everybody():
            self._keep(enrolment)
        for host_id in await self._enrolments.departed():
            await self._departures.leave(host_id, "coordinator")

    def welcome(self, host_id: HostId) -> Enrolment:
        """The host with this identity, which may come in now. Raises Denied."""
        known = self._known.get(host_id)
        if known is None:
            raise Denied("cannot let this host in: its identity was revoked, or another coordinator gave it; enrol the machine anew")
        check_welcome(known)
        return known

    async def create_token(self, wanted: WantedToken, key: RequestKey) -> tuple[JoinToken, str]:
        """Make a join token; its text is said this once."""
        ttl, uses = wanted.ttl or TTL, wanted.uses or 1
        if not 0 < ttl <= TTL_AT_MOST:
            raise Invalid("cannot make a join token for that long: 24 h is the most, and 15 min the default", field="ttl")
        if not 0 < uses <= USES_AT_MOST:
            raise Invalid(f"cannot make a join token for {uses} hosts: 1 to {USES_AT_MOST} are allowed", field="uses")
        if len(wanted.name_pattern) > PATTERN_LENGTH:
            raise Invalid(f"cannot accept a name pattern of {len(wanted.name_pattern)} characters", field="name_pattern")
        tags = {**await self._tags_of_group(wanted), **wanted.tags}
        if tags:
            check_tags(tags, field="tags")
        now = self._clock.now()
        token_id, text = self._secrets.join_token()
        token = JoinToken(
            token_id=token_id,
            expires_at=now + ttl,
            uses_left=uses,
            tags=tags,
            auto_approve=wanted.auto_approve,
            trust_tags=wanted.trust_tags,
            name_pattern=wanted.name_pattern,
            created_at=now,
            created_by=key.principal,
        )
        try:
            await self._enrolments.add_token(token, _digest(text), at=now, key=key)
        except Replayed:
            raise Conflict("cannot say the text of a join token twice: this call was made before; make another token") from None
        return token, text

    async def tokens(self, *, size: int, after: Cursor) -> Page[JoinToken]:
        """Those that can still be used, the newest first."""
        return await self._enrolments.tokens(at=self._clock.now(), size=size, after=after)

    async def revoke_token(self, token_id: str, key: RequestKey) -> None:
        """Make a token useless."""
        try:
            await self._enrolments.revoke_token(token_id, at=self._clock.now(), key=key)
        except Replayed:
            return

    async def enrol(self, applicant: Applicant) -> tuple[Enrolment, Certificate | None]:
        """Take a machine's request; its certificate, once it is approved."""
        check_name(applicant.name, field="name")
        now = self._clock.now()
        wanted = Enrolment(
            host_id=self._secrets.host_id(),
            name=applicant.name,
            status=EnrolmentStatus.Pending,
            key=self._authority.key_of(applicant.request),
            requested_at=now,
            address=applicant.address,
            token_id="",
            tags={},
            trust_tags=False,
        )
        enrolment = await self._enrolments.enrol(wanted, _digest(applicant.token), at=now)
        self._keep(enrolment)
        if enrolment.status is EnrolmentStatus.Pending:
            return enrolment, None
        check_welcome(enrolment)
        if enrolment.generation:
            raise Denied(f"cannot enrol {enrolment.name} again: it is a host, and its certificate was renewed since")
        certificate = self._authority.certify(enrolment.host_id, applicant.request)
        await self._enrolments.certified(enrolment.host_id, certificate.expires_at)
        return enrolment, certificate

    async def renew(self, host_id: HostId, request: bytes, *, generation: int) -> tuple[Enrolment, Certificate]:
        """Give a host a new certificate. Raises Denied, and shuts all of them out, when there are two of it."""
        self.welcome(host_id)
        key, certificate = self._authority.key_of(request), self._authority.certify(host_id, request)
        enrolment = await self._enrolments.renew(
            host_id, generation=generation, key=key, expires_at=certificate.expires_at, at=self._clock.now()
        )
        self._keep(enrolment)
        check_welcome(enrolment)
        return enrolment, certificate

    async def readmit(self, returning: Returning) -> Readmission:
        """Give a host that was away for longer than its certificate lasted a new one, if it may have it by itself. Raises Denied."""
        shown = self._authority.holder(returning)
        key, certificate = self._authority.key_of(returning.request), self._authority.certify(shown.host_id, returning.request)
        enrolment, news = await self._enrolments.readmit(
            shown,
            generation=returning.generation,
            key=key,
            expires_at=certificate.expires_at,
            at=self._clock.now(),
            within=self._readmit_within,
            address=returning.address,
        )
        self._keep(enrolment)
        return Readmission(enrolment, certificate if enrolment.status is EnrolmentStatus.Approved else None, news)

    async def approve(self, host: str, key: RequestKey) -> Enrolment:
        """Let a host in that waits, was locked, or was away for too long."""
        return await self._decide(host, EnrolmentStatus.Approved, "", key)

    async def revoke(self, host: str, reason: str, key: RequestKey) -> Enrolment:
        """Shut a host out for ever."""
        check_description(reason, field="reason")
        revoked = await self._decide(host, EnrolmentStatus.Revoked, reason, key)
        await self._departures.leave(revoked.host_id, key.principal)
        return revoked

    async def adopt(self, host: str, machine: str, key: RequestKey) -> Enrolment:
        """Let a machine that waits take the place of a host that is gone: its name and its tags. The host is shut out for ever."""
        known = await self._enrolments.enrolment(host)
        if known.status is EnrolmentStatus.Approved and self._departures.doors.inside(known.host_id):
            raise Conflict(
                f"cannot have {known.name} adopted: its agent is connected, so it is not gone; stop that agent first, or "
                f"`hookline hosts revoke {known.name}` if somebody else has it"
            )
        try:
            before, now = await self._enrolments.adopt(host, machine, at=self._clock.now(), key=key)
        except Replayed as replayed:
            return await self._enrolments.enrolment(str(replayed))
        self._keep(before)
        self._keep(now)
        await self._departures.leave(before.host_id, key.principal)
        return now

    async def rename(self, host: str, name: str, key: RequestKey) -> Enrolment:
        """Give a host another name."""
        check_name(name, field="name")
        try:
            enrolment = await self._enrolments.rename(host, name, at=self._clock.now(), key=key)
        except Replayed as replayed:
            return await self._enrolments.enrolment(str(replayed))
        self._keep(enrolment)
        return enrolment

    async def enrolments(self, statuses: Sequence[EnrolmentStatus], *, size: int, after: Cursor) -> Page[Enrolment]:
        """Who has asked, the newest first."""
        return await self._enrolments.enrolments(statuses, size=size, after=after)

    async def _decide(self, host: str, status: EnrolmentStatus, reason: str, key: RequestKey) -> Enrolment:
        try:
            enrolment = await self._enrolments.decide(host, status, reason, at=self._clock.now(), key=key)
        except Replayed as replayed:
            return await self._enrolments.enrolment(str(replayed))
        self._keep(enrolment)
        return enrolment

    def _keep(self, enrolment: Enrolment) -> None:
        """What is stored counts from now on, also for a stream that is open."""
        if enrolment.status is EnrolmentStatus.Revoked:
            self._known.pop(enrolment.host_id, None)
        else:
            self._known[enrolment.host_id] = enrolment
        if enrolment.status is EnrolmentStatus.Approved:
            self._departures.doors.let_in(enrolment.host_id)
        else:
            self._departures.doors.shut_out(enrolment.host_id)

    async def _tags_of_group(self, wanted: WantedToken) -> Mapping[str, str]:
        """Tags with which a host matches the group that the token is for."""
        if not wanted.group_name and not wanted.application_name:
            return {}
        group = await self._catalog.group(wanted.application_name, wanted.group_name)
        return {key: value for filters in group.selection for key, value in _matching(filters[0]).items()}


def _matching(filter: TagFilter) -> Mapping[str, str]:
    if filter.type is TagFilterType.VALUE_ONLY:
        return {"group": filter.value}
    return {filter.key: filter.value if filter.type is TagFilterType.KEY_AND_VALUE else ""}


def _digest(text: str) -> bytes:
    """A token's text has 256 random bits: a plain hash is as good as a slow one."""
    return hashlib.sha256(text.encode()).digest()
