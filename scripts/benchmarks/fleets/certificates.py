"""Certificates of simulated hosts, issued before anything is measured: by the coordinator's own authority, past its enrolment."""

import hashlib
from pathlib import Path
from typing import Final

from agent.identity.files import Credentials, Enrolment
from agent.identity.keys import new_key, request
from coordinator.adapters.authority import Authority
from coordinator.adapters.clock import SystemClock
from coordinator.core.facts import RequestKey
from coordinator.core.identity import enrolment as admitted
from coordinator.core.model import HostId
from coordinator.store.sqlite import SqliteStore
from scripts.benchmarks.figures import resident_kib

CLUSTER: Final = "bench"
NAMES: Final = ("localhost", "127.0.0.1")
PREFIX: Final = "host"
TAGS: Final = {"fleet": "bench"}
_SHA256: Final = bytes(32)
_HOUR: Final = 3_600_000


def host_id(name: str) -> HostId:
    """Of a simulated host."""
    return HostId(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest())


def authority(pki: Path) -> Authority:
    """The cluster's, below `pki`; made, with what a server shows, where there is none."""
    found = Authority.open(pki, SystemClock(), names=NAMES, cluster=CLUSTER)
    found.renew()
    return found


def credentials(signer: Authority, name: str) -> Credentials:
    """What a simulated host shows, and whom it trusts."""
    key, now = new_key(), SystemClock().now()
    certificate = signer.certify(host_id(name), request(key))
    enrolment = Enrolment(
        cluster=CLUSTER,
        host_id=host_id(name),
        name=name,
        generation=0,
        serial="",
        begins_at=now,
        ends_at=certificate.expires_at,
        received_at=now,
        coordinator="",
        enrol_address="",
        authority=signer.fingerprint,
    )
    return Credentials(enrolment=enrolment, key=key, chain=certificate.chain, trust=signer.trust)


async def admit(store: SqliteStore, hosts: int) -> int:
    """Have a coordinator that has not started know so many hosts; how many KiB that takes of its memory."""
    now = SystemClock().now()
    token = admitted.JoinToken(
        token_id="bench",
        expires_at=now + _HOUR,
        uses_left=hosts,
        tags=TAGS,
        auto_approve=True,
        trust_tags=False,
        name_pattern="",
        created_at=now,
        created_by="bench",
    )
    await store.enrolments.add_token(token, _SHA256, at=now, key=RequestKey(principal="bench", method="", request_id="", digest=b""))
    for number in range(hosts):
        name = f"{PREFIX}{number}"
        wanted = admitted.Enrolment(
            host_id=host_id(name),
            name=name,
            status=admitted.EnrolmentStatus.Pending,
            key=2 * host_id(name),
            requested_at=now,
            address="127.0.0.1",
            token_id="",
            tags={},
            trust_tags=False,
        )
        await store.enrolments.enrol(wanted, _SHA256, at=now)
    before = resident_kib()
    known = await store.enrolments.everybody()
    assert len(known) == hosts
    return resident_kib() - before
