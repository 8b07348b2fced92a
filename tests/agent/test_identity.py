"""A host's identity: files that a crash leaves usable, joining, and renewals that lose nothing, whatever gets lost on the way."""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509

from agent.errors import AgentError
from agent.identity import Credentials, IdentityFiles, keys
from agent.identity.diagnosis import authority_changed, fingerprints, why_not_accepted, why_not_valid
from agent.identity.handshake import Busy, Unreachable
from agent.identity.joining import Answer, Application, Joining
from agent.identity.keys import Certificate
from agent.identity.renewal import KeyMaker, NotRenewed, Renewal, Renewed, due_at
from coordinator.adapters.authority import certificates
from tests.agent.identities import BEGAN, DAY, HOST_ID, MINUTE, Authority, credentials, joined


@dataclass
class Hasty:
    """A clock on which every wait is over at once and takes exactly as long as it was to take."""

    now: int = round(BEGAN.timestamp() * 1000)
    waits: list[float] = field(default_factory=list)

    def now_ms(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += round(seconds * 1000)
        await asyncio.sleep(0)

    def chance(self) -> float:
        return 0.5


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def files(tmp_path: Path) -> IdentityFiles:
    return IdentityFiles(tmp_path)


# ---------------------------------------------------------------------------------------------------------------------- the files


def test_credentials_are_read_as_they_were_kept_and_the_key_is_the_owners_alone(files: IdentityFiles, authority: Authority) -> None:
    assert files.credentials() is None
    made = joined(files, authority)
    assert files.credentials() == made
    assert (files.directory / "current" / "key.pem").stat().st_mode & 0o777 == 0o600


def test_a_key_of_the_next_generation_does_not_count_before_its_certificate_is_there(files: IdentityFiles, authority: Authority) -> None:
    made = joined(files, authority)
    key = keys.new_key()
    files.keep_key(1, key)
    assert files.credentials() == made
    assert files.key(1) == key
    renewed = credentials(authority, key, 1)
    files.keep(renewed)
    assert files.credentials() == renewed


def test_the_generation_before_stays_for_who_reads_it_and_no_other(files: IdentityFiles, authority: Authority) -> None:
    joined(files, authority)
    for generation in (1, 2, 3):
        key = keys.new_key()
        files.keep_key(generation, key)
        files.keep(credentials(authority, key, generation))
    assert sorted(path.name for path in files.directory.iterdir()) == ["2", "3", "current"]
    files.forget()
    assert files.credentials() is None


def test_a_key_that_others_may_read_and_a_damaged_enrolment_are_refused(files: IdentityFiles, authority: Authority) -> None:
    joined(files, authority)
    key = files.directory / "0" / "key.pem"
    key.chmod(0o640)
    with pytest.raises(AgentError, match="others may read this host's key; run `chmod 600"):
        files.credentials()
    key.chmod(0o600)
    (files.directory / "0" / "enrolment.json").write_text("{")
    with pytest.raises(AgentError, match="it is damaged"):
        files.credentials()
    (files.directory / "0" / "chain.pem").unlink()
    with pytest.raises(AgentError, match="no such file"):
        files.credentials()


def test_what_a_certificate_says_is_believed_only_of_a_host_with_this_key(authority: Authority) -> None:
    key = keys.new_key()
    chain = authority.certify(keys.request(key))
    assert keys.read(chain, key).host_id == HOST_ID
    with pytest.raises(AgentError, match="it is for another key"):
        keys.read(chain, keys.new_key())
    with pytest.raises(AgentError, match="which is no host"):
        keys.read(authority.certify(keys.request(key), uri="spiffe://test/operator/alice"), key)
    with pytest.raises(AgentError, match="it is not that of a host"):
        keys.read(b"nothing", key)


# ------------------------------------------------------------------------------------------------------------------------ joining


@dataclass
class Doorkeeper:
    """Lets a machine in when it has asked often enough; what it is to raise comes first."""

    authority: Authority
    asks_before: int = 0
    troubles: list[Exception] = field(default_factory=list)
    asked: list[tuple[str, bytes]] = field(default_factory=list)

    async def ask(self, application: Application, request: bytes) -> Answer:
        self.asked.append((application.token, request))
        if self.troubles and (len(self.asked) > 1 or isinstance(self.troubles[0], Busy)):
            raise self.troubles.pop(0)
        chain = self.authority.certify(request) if len(self.asked) > self.asks_before else b""
        return Answer(name="web-1", chain=chain, trust=self.authority.trust, retry_seconds=5.0, agent_address=":8443")


def application(token: str = "hlj_x") -> Application:
    return Application(name="web-1", token=token, enrol_address="10.0.0.1:8446", authority="ab" * 32, root=b"", agent_version="1")


async def test_a_machine_waits_until_it_is_let_in_and_then_knows_who_it_is(files: IdentityFiles, authority: Authority) -> None:
    clock, said = Hasty(), list[str]()
    door = Doorkeeper(authority, asks_before=2, troubles=[Unreachable("cannot reach 10.0.0.1:8446: connection refused")])
    made = await Joining(files=files, door=door, clock=clock, say=said.append).join(application())
    assert made.enrolment.coordinator == "10.0.0.1:8443"
    assert files.credentials() == made
    assert clock.waits == [5.0, 5.0]
    assert "hookline hosts approve web-1" in said[0]
    assert keys.fingerprint(made.key)[:16] in said[0]
    assert "going on with waiting" in said[1]
    assert len({request for _, request in door.asked}) == 1


async def test_a_machine_that_comes_with_too_many_others_asks_again_by_itself(files: IdentityFiles, authority: Authority) -> None:
    clock, said = Hasty(), list[str]()
    door = Doorkeeper(authority, troubles=[Busy("10.0.0.1:8446 asks to wait: too many came", 5.0)] * 2)
    made = await Joining(files=files, door=door, clock=clock, say=said.append).join(application())
    assert files.credentials() == made
    assert len(clock.waits) == 2
    assert all(2.5 <= wait <= 7.5 for wait in clock.waits)
    assert said == ["10.0.0.1:8446 asks to wait: too many came; asking again"] * 2


async def test_joining_goes_on_with_the_key_that_it_began_with(files: IdentityFiles, authority: Authority) -> None:
    began = Doorkeeper(authority, asks_before=9, troubles=[AgentError("stop here")])
    with pytest.raises(AgentError, match="stop here"):
        await Joining(files=files, door=began, clock=Hasty(), say=lambda _: None).join(application())
    key = files.key(0)
    made = await Joining(files=files, door=Doorkeeper(authority), clock=Hasty(), say=lambda _: None).join(application(token=""))
    assert made.key == key


async def test_a_machine_without_a_token_that_has_begun_nothing_is_refused(files: IdentityFiles, authority: Authority) -> None:
    with pytest.raises(AgentError, match="cannot join without a token"):
        await Joining(files=files, door=Doorkeeper(authority), clock=Hasty(), say=lambda _: None).join(application(token=""))
    assert files.key(0) is None


# ------------------------------------------------------------------------------------------------------------------------ renewal


class Local:
    """Makes keys here, and not in a process of its own."""

    def __init__(self, files: IdentityFiles) -> None:
        self.files = files

    async def request(self, generation: int) -> bytes:
        if (key := self.files.key(generation)) is None:
            key = keys.new_key()
            self.files.keep_key(generation, key)
        return keys.request(key)

    async def read(self, generation: int, chain: bytes) -> Certificate:
        key = self.files.key(generation)
        assert key is not None
        return keys.read(chain, key)

    async def sign(self, generation: int, said: str) -> bytes:
        return f"{generation} signs {said}".encode()


class Stop(Exception):
    """The test has seen enough."""


@dataclass
class Counting:
    """A coordinator that counts renewals as the real one does; answers in `lost` never arrive."""

    authority: Authority
    lost: Sequence[int] = ()
    generation: int = 0
    key: bytes = b""
    calls: int = 0
    used: list[Credentials] = field(default_factory=list)
    signed: list[bytes] = field(default_factory=list)
    enough: int = 1

    async def renew(self, request: bytes, generation: int) -> Renewed:
        self.calls += 1
        digest = certificates.key_digest(certificates.read_request(request)).encode()
        if generation == self.generation:
            self.generation, self.key = generation + 1, digest
        elif generation != self.generation - 1 or digest != self.key:
            raise AssertionError("two machines have used this identity")
        if self.calls in self.lost:
            raise NotRenewed("the answer was lost")
        return Renewed(chain=self.authority.certify(request), trust=self.authority.trust, generation=self.generation)

    async def readmit(self, request: bytes, signature: bytes) -> Renewed:
        self.signed.append(signature)
        return await self.renew(request, 0)

    async def use(self, credentials: Credentials) -> None:
        self.used.append(credentials)
        if len(self.used) == self.enough:
            raise Stop


def renewal(files: IdentityFiles, made: Credentials, line: Counting, clock: Hasty) -> Renewal:
    return Renewal(files=files, credentials=made, keys=Local(files), line=line, clock=clock)


async def test_a_certificate_is_renewed_with_a_new_key_between_half_and_two_thirds_of_its_time(
    files: IdentityFiles, authority: Authority
) -> None:
    made, clock, line = joined(files, authority), Hasty(), Counting(authority)
    with pytest.raises(Stop):
        await renewal(files, made, line, clock).run()
    assert 0.50 * DAY <= sum(clock.waits) * 1000 <= 0.66 * DAY
    assert max(clock.waits) <= 300
    (used,) = line.used
    assert used == files.credentials()
    assert used.enrolment.generation == 1
    assert used.key != made.key


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_the_time_before_a_certificate_was_made_does_not_count_as_its_own(authority: Authority, chance: float) -> None:
    made = credentials(authority, keys.new_key())
    assert made.enrolment.begins_at == made.enrolment.received_at - 10 * MINUTE
    assert due_at(made, chance) == made.enrolment.received_at + round((0.50 + 0.16 * chance) * DAY)


async def test_a_lost_answer_is_asked_for_again_with_the_same_key(files: IdentityFiles, authority: Authority) -> None:
    made, line = joined(files, authority), Counting(authority, lost=(1, 2))
    with pytest.raises(Stop):
        await renewal(files, made, line, Hasty()).run()
    assert (line.calls, line.generation) == (3, 1)


async def test_an_agent_that_died_after_asking_asks_with_the_same_key_again(files: IdentityFiles, authority: Authority) -> None:
    made, line = joined(files, authority), Counting(authority)
    await line.renew(await Local(files).request(1), 0)  # and the agent is killed before it hears the answer
    assert files.credentials() == made
    with pytest.raises(Stop):
        await renewal(files, made, line, Hasty()).run()
    assert (line.generation, line.used[0].key) == (1, files.key(1))


async def test_renewals_follow_each_other(files: IdentityFiles, authority: Authority) -> None:
    line = Counting(authority, enough=3)
    with pytest.raises(Stop):
        await renewal(files, joined(files, authority), line, Hasty()).run()
    assert [used.enrolment.generation for used in line.used] == [1, 2, 3]


async def test_a_host_whose_certificate_has_ended_asks_to_be_let_in_again_with_the_signature_of_its_old_key(
    files: IdentityFiles, authority: Authority
) -> None:
    made, line = joined(files, authority), Counting(authority)
    with pytest.raises(Stop):
        await renewal(files, made, line, Hasty(now=made.enrolment.ends_at)).run()
    (signed,) = line.signed
    assert signed.decode().startswith(f"0 signs hookline readmission 1\n{HOST_ID}\n0\n")
    assert line.used[0].enrolment.generation == 1


async def test_a_host_that_waits_to_be_let_in_again_goes_on_asking_with_the_same_key(files: IdentityFiles, authority: Authority) -> None:
    made, line = joined(files, authority), Counting(authority, lost=(1, 2, 3))
    with pytest.raises(Stop):
        await renewal(files, made, line, Hasty(now=made.enrolment.ends_at)).run()
    assert (line.calls, line.generation, len(line.signed)) == (4, 1, 4)


async def test_a_certificate_of_another_generation_is_not_used(
    files: IdentityFiles, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    made = joined(files, authority)

    class Ahead(Counting):
        async def renew(self, request: bytes, generation: int) -> Renewed:
            if self.calls:
                raise Stop
            self.calls += 1
            return Renewed(chain=self.authority.certify(request), trust=self.authority.trust, generation=7)

    with pytest.raises(Stop):
        await renewal(files, made, Ahead(authority), Hasty()).run()
    assert "the coordinator counts 7 renewals and this host 1" in caplog.text
    assert files.credentials() == made


@pytest.mark.e2e
async def test_keys_are_made_by_a_process_of_their_own_and_are_never_said(files: IdentityFiles, authority: Authority) -> None:
    joined(files, authority)
    maker = KeyMaker(files.directory.parent)
    request = await maker.request(1)
    assert x509.load_pem_x509_csr(request).is_signature_valid
    assert certificates.read_request(await maker.request(1)) == certificates.read_request(request)
    assert (await maker.read(1, authority.certify(request))).host_id == HOST_ID
    with pytest.raises(AgentError, match="it is for another key"):
        await maker.read(0, authority.certify(request))
    assert await maker.sign(0, "something")
    with pytest.raises(AgentError, match="the key of generation 7 is gone"):
        await maker.sign(7, "something")


# ---------------------------------------------------------------------------------------------------------------------- diagnosis


def test_the_dates_of_a_certificate_are_explained(authority: Authority) -> None:
    enrolment = credentials(authority, keys.new_key()).enrolment
    assert why_not_valid(enrolment, enrolment.received_at) is None
    early, late = why_not_valid(enrolment, enrolment.begins_at - 1), why_not_valid(enrolment, enrolment.ends_at)
    assert early is not None
    assert late is not None
    assert "set the clock right" in early
    assert "ended at 2026-11-24 00:00:00 UTC" in late
    assert "hookline hosts approve web-1" in late
    assert "--again" in late


async def test_a_pair_that_does_not_belong_together_is_told(files: IdentityFiles, authority: Authority) -> None:
    made = joined(files, authority)
    files.pair(0)[1].write_bytes(keys.new_key())
    os.chmod(files.pair(0)[1], 0o600)
    assert "cannot be used: key values mismatch" in str(await why_not_accepted("127.0.0.1:1", made, files))
    files.pair(0)[0].write_bytes(b"-----BEGIN CERTIFICATE-----\nMII")
    assert "cannot be used: it is damaged" in str(await why_not_accepted("127.0.0.1:1", made, files))


def test_a_root_that_was_replaced_is_noticed(authority: Authority) -> None:
    made = credentials(authority, keys.new_key())
    assert not authority_changed(made)
    assert authority_changed(Credentials(enrolment=made.enrolment, key=made.key, chain=made.chain, trust=Authority().trust))
    assert json.dumps(fingerprints(authority.trust * 2)).count(made.enrolment.authority) == 2
