"""An authority for tests of hosts' identities, and hosts that have joined it."""

import datetime

from agent.identity import Credentials, Enrolment, IdentityFiles, keys
from agent.identity.diagnosis import fingerprints
from coordinator.adapters.authority import certificates

MINUTE = 60_000
DAY = 24 * 60 * MINUTE
BEGAN = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
HOST_ID = "1" * 32


class Authority:
    """Signs what it is asked to sign."""

    def __init__(self) -> None:
        self.key = certificates.new_key()
        self.root = certificates.root(self.key, "test", BEGAN, datetime.timedelta(days=10))

    @property
    def trust(self) -> bytes:
        return certificates.to_pem(self.root)

    def certify(self, request: bytes, uri: str = f"spiffe://test/agent/{HOST_ID}") -> bytes:
        public_key = certificates.read_request(request)
        made = certificates.leaf(public_key, (self.key, self.root), uri=uri, begins=BEGAN, lifetime=datetime.timedelta(days=1))
        return certificates.to_pem(made, self.root)


def credentials(authority: Authority, key: bytes, generation: int = 0, *, chain: bytes | None = None) -> Credentials:
    chain = chain or authority.certify(keys.request(key))
    said = keys.read(chain, key)
    enrolment = Enrolment(
        cluster=said.cluster,
        host_id=said.host_id,
        name="web-1",
        generation=generation,
        serial=said.serial,
        begins_at=said.begins_at,
        ends_at=said.ends_at,
        received_at=round(BEGAN.timestamp() * 1000),
        coordinator="127.0.0.1:8443",
        enrol_address="127.0.0.1:8446",
        authority=fingerprints(authority.trust)[0],
    )
    return Credentials(enrolment=enrolment, key=key, chain=chain, trust=authority.trust)


def joined(files: IdentityFiles, authority: Authority) -> Credentials:
    key = keys.new_key()
    files.keep_key(0, key)
    made = credentials(authority, key)
    files.keep(made)
    return made
