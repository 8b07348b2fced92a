"""Operators' certificates over the wire: taken with a token for one, renewed, copied, revoked, and shown where they do not belong."""

import asyncio

import grpc
import pytest
from cryptography import x509

from coordinator.adapters.authority import certificates
from coordinator.core.identity.access import Grant, Role
from hookline.v1 import access_pb2 as pb
from hookline.v1 import deployments_pb2 as deployments
from tests.wire.house import UNASKED, Client, House, Pair, request_of, shop
from tests.wire.test_access import rest_of
from tests.wire.world import refused

UNAUTHENTICATED, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
WHOAMI = pb.WhoAmIRequest()
MINUTE, DAY = 60_000, 86_400_000


def wanted(key: certificates.Key) -> pb.IssueOperatorCertificateRequest:
    return pb.IssueOperatorCertificateRequest(certificate_request=request_of(key))


async def renewal(client: Client, key: certificates.Key) -> Pair:
    answer = await client.access.RenewOperatorCertificate(pb.RenewOperatorCertificateRequest(certificate_request=request_of(key)))
    return Pair(key, answer.certificate_chain)


async def test_a_certificate_is_taken_and_says_who_calls(house: House) -> None:
    await house.access.create("anna@example.com", [Grant(Role.Admin)], UNASKED)
    key = certificates.new_key()
    invited = house.client(await house.invitation("anna@example.com", narrowed=(Grant(Role.Deployer, "shop"),)))
    answer = await invited.access.IssueOperatorCertificate(wanted(key))
    issued = answer.operator_certificate
    assert (issued.operator_name, answer.certificate_address, answer.trust) == ("anna@example.com", house.certified, house.authority.trust)
    leaf = x509.load_pem_x509_certificates(answer.certificate_chain)[0]
    assert certificates.uris_of(leaf) == ["spiffe://hookline/operator/anna@example.com"]
    said = await house.certified_client(Pair(key, answer.certificate_chain)).access.WhoAmI(WHOAMI)
    assert (said.principal, said.credential_id) == ("operator:anna@example.com", issued.operator_certificate_id)
    assert [(one.role, one.application_name) for one in said.grants] == [(pb.ROLE_DEPLOYER, "shop")]
    assert said.token_expire_time.seconds == issued.expire_time.seconds == int(leaf.not_valid_after_utc.timestamp())


async def test_of_a_hundred_who_use_one_token_at_once_one_has_a_certificate(house: House) -> None:
    await house.access.create("anna", [], UNASKED)
    invited = house.client(await house.invitation("anna"))
    keys = [certificates.new_key() for _ in range(100)]
    calls = [invited.access.IssueOperatorCertificate(wanted(key)) for key in keys]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    refusals = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert {(no.code(), "used already" in str(no.details())) for no in refusals} == {(DENIED, True)}
    assert len((await house.certificates.certificates("", size=9, after="")).items) == 1


async def test_an_answer_that_was_lost_is_given_again_for_the_same_key(house: House) -> None:
    await house.access.create("anna", [], UNASKED)
    invited, key = house.client(await house.invitation("anna")), certificates.new_key()
    first = await invited.access.IssueOperatorCertificate(wanted(key))
    again = await invited.access.IssueOperatorCertificate(wanted(key))
    assert first.operator_certificate.operator_certificate_id == again.operator_certificate.operator_certificate_id
    pair = Pair(key, again.certificate_chain)
    await house.certified_client(pair).access.WhoAmI(WHOAMI)
    assert "renewed since" in (await refused(house.certified_client(Pair(key, first.certificate_chain)).access.WhoAmI(WHOAMI))).message
    await renewal(house.certified_client(pair), certificates.new_key())
    assert "used already" in (await refused(invited.access.IssueOperatorCertificate(wanted(key)))).message


async def test_a_token_for_a_certificate_is_good_for_nothing_else_and_others_are_good_for_none(house: House) -> None:
    await house.access.create("anna", [Grant(Role.Admin)], UNASKED)
    invited = house.client(await house.invitation("anna"))
    assert "this token is for a certificate" in (await refused(invited.access.WhoAmI(WHOAMI))).message
    anna = house.client(await house.another("anna"))
    assert (await refused(anna.access.IssueOperatorCertificate(wanted(certificates.new_key())))).code is DENIED
    renewing = pb.RenewOperatorCertificateRequest(certificate_request=request_of(certificates.new_key()))
    assert "this call shows none" in (await refused(anna.access.RenewOperatorCertificate(renewing))).message


@pytest.mark.parametrize("request_pem", [b"", b"nothing", b"-" * 9_000])
async def test_what_is_no_request_uses_no_token_up(house: House, request_pem: bytes) -> None:
    await house.access.create("anna", [], UNASKED)
    invited = house.client(await house.invitation("anna"))
    no = await refused(invited.access.IssueOperatorCertificate(pb.IssueOperatorCertificateRequest(certificate_request=request_pem)))
    assert (no.code, no.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["certificate_request"])
    await invited.access.IssueOperatorCertificate(wanted(certificates.new_key()))


async def test_times_that_cannot_be_are_refused(house: House) -> None:
    boss = await house.operator("boss", Grant(Role.Admin))
    for lifetime, ttl, field in ((0, 0, "certificate_lifetime"), (91 * DAY, 0, "certificate_lifetime"), (DAY, DAY + 1, "ttl")):
        asked = pb.CreateOperatorTokenRequest(operator_name="boss")
        asked.certificate_lifetime.FromMilliseconds(lifetime)
        asked.ttl.FromMilliseconds(ttl)
        assert (await refused(boss.access.CreateOperatorToken(asked))).fields == [field]


async def test_a_renewal_keeps_the_id_and_the_one_before_good(house: House) -> None:
    await house.access.create("anna", [Grant(Role.Viewer)], UNASKED)
    first = await house.issued("anna", lifetime=4 * MINUTE)
    before = await house.certified_client(first).access.WhoAmI(WHOAMI)
    house.world.clock.at += 2 * MINUTE
    second = await renewal(house.certified_client(first), certificates.new_key())
    assert (await house.certified_client(second).access.WhoAmI(WHOAMI)).credential_id == before.credential_id
    await house.certified_client(first).access.WhoAmI(WHOAMI)
    house.world.clock.at += 2 * MINUTE
    third = await renewal(house.certified_client(second), certificates.new_key())
    no = await refused(house.certified_client(first).access.WhoAmI(WHOAMI))
    assert (no.code, "somebody has a copy" in no.message) == (UNAUTHENTICATED, True)
    await house.certified_client(third).access.WhoAmI(WHOAMI)
    same_key = pb.RenewOperatorCertificateRequest(certificate_request=request_of(third.key))
    assert (await refused(house.certified_client(third).access.RenewOperatorCertificate(same_key))).fields == ["certificate_request"]


async def test_a_copied_certificate_shows_at_the_next_renewal_and_both_are_out(house: House) -> None:
    deployment = await shop(house)
    await house.access.create("anna", [Grant(Role.Viewer)], UNASKED)
    copied = await house.issued("anna")
    theirs, thief = house.certified_client(copied), house.certified_client(copied)
    call = theirs.deployments.WatchDeployment(deployments.WatchDeploymentRequest(deployment_id=deployment))
    await call.read()
    stolen = await renewal(thief, certificates.new_key())
    further = pb.RenewOperatorCertificateRequest(certificate_request=request_of(certificates.new_key()))
    assert "again yet" in (await refused(house.certified_client(stolen).access.RenewOperatorCertificate(further))).message
    renewing = pb.RenewOperatorCertificateRequest(certificate_request=request_of(certificates.new_key()))
    assert "one has a copy" in (await refused(theirs.access.RenewOperatorCertificate(renewing))).message
    async with asyncio.timeout(30):
        assert (await refused(rest_of(call))).code is DENIED
    for client in (theirs, thief, house.certified_client(stolen)):
        assert "was revoked" in (await refused(client.access.WhoAmI(WHOAMI))).message


@pytest.mark.parametrize("how", ["suspended", "revoked", "ended"])
async def test_what_is_open_ends_with_the_certificate(house: House, how: str) -> None:
    deployment = await shop(house)
    await house.access.create("anna", [Grant(Role.Viewer)], UNASKED)
    pair = await house.issued("anna", lifetime=3_000 if how == "ended" else DAY)
    anna = house.certified_client(pair)
    call = anna.deployments.WatchDeployment(deployments.WatchDeploymentRequest(deployment_id=deployment))
    await call.read()
    if how == "suspended":
        await house.access.suspend("anna", "", UNASKED)
    elif how == "revoked":
        boss = await house.operator("chief", Grant(Role.Admin))
        (listed,) = (await boss.access.ListOperatorCertificates(pb.ListOperatorCertificatesRequest())).operator_certificates
        assert (listed.operator_name, listed.HasField("renew_time")) == ("anna", False)
        revoking = pb.RevokeOperatorCertificateRequest(operator_certificate_id=listed.operator_certificate_id)
        await boss.access.RevokeOperatorCertificate(revoking)
        assert not (await boss.access.ListOperatorCertificates(pb.ListOperatorCertificatesRequest())).operator_certificates
    async with asyncio.timeout(30):
        assert (await refused(rest_of(call))).code is DENIED
    house.world.clock.at += 3_000
    no = await refused(anna.access.WhoAmI(WHOAMI))
    assert no.code is UNAUTHENTICATED
    assert {"suspended": "suspended", "revoked": "was revoked", "ended": "has ended"}[how] in no.message


async def test_certificates_of_others_are_refused_in_words(house: House) -> None:
    for pair, why in (
        (house.agents_pair(), "for operators"),
        (stranger(house, "spiffe://elsewhere/operator/anna"), "for operators"),
        (stranger(house, "spiffe://hookline/operator/anna"), "unknown here"),
        (stranger(house, "https://hookline/operator/anna"), "for operators"),
    ):
        no = await refused(house.certified_client(pair).access.WhoAmI(WHOAMI))
        assert (no.code, why in no.message) == (UNAUTHENTICATED, True)


def stranger(house: House, uri: str) -> Pair:
    """Somebody whose certificate the authority has signed, and nobody has issued."""
    pem = (house.pki / "issuing.pem").read_bytes()
    signer = certificates.load_key(pem, ""), certificates.load_certificates(pem, "")[0]
    key = certificates.new_key()
    lasts = signer[1].not_valid_after_utc - signer[1].not_valid_before_utc
    made = certificates.leaf(key.public_key(), signer, uri=uri, common="oc-1", begins=signer[1].not_valid_before_utc, lifetime=lasts)
    return Pair(key, certificates.to_pem(made, signer[1]))


async def test_the_audit_and_the_history_know_of_certificates_and_no_secret_is_in_them(house: House) -> None:
    boss = await house.operator("boss", Grant(Role.Admin))
    token = pb.CreateOperatorTokenRequest(operator_name="boss")
    token.certificate_lifetime.FromSeconds(3_600)
    made = await boss.access.CreateOperatorToken(token)
    assert made.text.startswith("hlc_")
    key = certificates.new_key()
    issued = await house.client(made.text).access.IssueOperatorCertificate(wanted(key))
    await renewal(house.certified_client(Pair(key, issued.certificate_chain)), certificates.new_key())
    id = issued.operator_certificate.operator_certificate_id
    await boss.access.RevokeOperatorCertificate(pb.RevokeOperatorCertificateRequest(operator_certificate_id=id))
    rows = [(row.call.principal, row.call.method.rpartition("/")[2], row.call.subject) for row in await house.audited()]
    assert rows[1:] == [
        ("invited:boss", "IssueOperatorCertificate", id),
        ("operator:boss", "RenewOperatorCertificate", id),
        ("operator:boss", "RevokeOperatorCertificate", id),
    ]
    page = await house.store.history.entries(application_name="", group_name="", deployment_id="", host="", size=9, after="")
    told = [entry.entry for entry in page.items]
    assert told[:2] == ["OperatorCertificateRevoked", "OperatorCertificateIssued"]
    missing = pb.RevokeOperatorCertificateRequest(operator_certificate_id="oc-9")
    assert (await refused(boss.access.RevokeOperatorCertificate(missing))).code is grpc.StatusCode.NOT_FOUND
