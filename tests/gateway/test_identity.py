"""What counts of what an agent says of itself."""

from collections.abc import Iterable, Mapping

from coordinator.core.facts import Hello
from coordinator.core.identity.enrolment import Enrolment, EnrolmentStatus
from coordinator.core.model import HostId, JournalId
from coordinator.gateway.identity import Believed, Certified

HOST = HostId("ab" * 16)
SAID = Hello(
    at=0,
    elapsed=0,
    stream=1,
    host_id=HOST,
    name="web-1",
    boot_id="",
    journal_id=JournalId("j"),
    last_seq=0,
    acked_seq=0,
    agent_version="0.3",
    capabilities=(),
    fences={},
    tags={"role": "web", "fact:os": "plan9"},
    facts={"os": "linux"},
    holdings=(),
)


class Call:
    """A call with a host's certificate."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return {"x509_subject_alternative_name": [f"spiffe://here/agent/{HOST}".encode()]}


class OneHost:
    """Its enrolment."""

    def __init__(self, *, trust_tags: bool) -> None:
        self.trust_tags = trust_tags

    def welcome(self, host_id: HostId) -> Enrolment:
        return Enrolment(
            host_id=host_id,
            name="web-1",
            status=EnrolmentStatus.Approved,
            key="",
            requested_at=0,
            address="",
            token_id="",
            tags={"stage": "prod"},
            trust_tags=self.trust_tags,
        )


def certified(*, trust_tags: bool) -> Mapping[str, str]:
    """The tags that count over TLS."""
    return Certified("here", OneHost(trust_tags=trust_tags)).admitted(Call(), SAID).tags  # type: ignore[arg-type]  # all that is asked of it


def test_over_plaintext_tags_and_facts_count() -> None:
    hello = Believed().admitted(Call(), SAID)  # type: ignore[arg-type]  # nothing is asked of it
    assert hello.tags == {"role": "web", "fact:os": "linux", "fact:version": "0.3"}


def test_over_tls_neither_tags_nor_facts_count_unless_the_token_trusted_them() -> None:
    assert certified(trust_tags=False) == {"stage": "prod"}
    assert certified(trust_tags=True) == {"stage": "prod", "role": "web", "fact:os": "linux", "fact:version": "0.3"}
