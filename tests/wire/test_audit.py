"""What the audit gets of calls: what was changed, what was refused, and no secrets."""

import json

import grpc

from coordinator.api import server
from coordinator.api.access.recording import request_text, subject_of
from coordinator.api.calls.policy import POLICY
from coordinator.core.errors import StorageFailed
from coordinator.core.identity.access import Grant, Kind, Role
from coordinator.service.access.attempts import FAILURES_AT_MOST
from coordinator.service.access.audit import AuditCall, AuditEntry
from hookline.v1 import access_pb2 as pb
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import fleet_pb2 as fleet
from tests.wire.house import UNASKED, House, shop
from tests.wire.world import refused


def calls(entries: list[AuditEntry]) -> list[tuple[str, str, str, str]]:
    return [(one.call.principal, one.call.method.rpartition("/")[2], one.call.code, one.call.subject) for one in entries]


async def test_what_is_changed_and_what_was_refused_stand_in_the_audit(house: House) -> None:
    boss, vera = await house.operator("boss", Grant(Role.Admin)), await house.operator("vera", Grant(Role.Viewer))
    create = catalog.CreateApplicationRequest(application_name="shop")
    await boss.catalog.CreateApplication(create)
    await refused(boss.catalog.CreateApplication(create))
    await refused(vera.catalog.CreateApplication(create))
    await refused(house.client().catalog.CreateApplication(create))
    await boss.catalog.ListApplications(catalog.ListApplicationsRequest())
    await boss.access.SuspendOperator(pb.SuspendOperatorRequest(operator_name="vera", reason="left the team"))
    entries = await house.audited()
    assert calls(entries) == [
        ("operator:boss", "CreateApplication", "OK", "shop"),
        ("operator:boss", "CreateApplication", "ALREADY_EXISTS", "shop"),
        ("operator:vera", "CreateApplication", "PERMISSION_DENIED", "shop"),
        ("nobody", "CreateApplication", "UNAUTHENTICATED", "shop"),
        ("operator:boss", "SuspendOperator", "OK", "vera"),
    ]
    last = entries[-1].call
    assert (last.address, last.reason, last.at) == ("127.0.0.1", "left the team", house.world.clock.now())
    assert json.loads(last.request) == {"operator_name": "vera", "reason": "left the team"}
    page = await boss.audit.ListAudit(pb.ListAuditRequest(page_size=2, principal="operator:boss"))
    assert [one.audit_no for one in page.entries] == [5, 2]
    verdict = await boss.audit.VerifyAudit(pb.VerifyAuditRequest(noted_audit_no=2, noted_hash=entries[1].hash))
    assert (verdict.intact, verdict.entries, verdict.head_hash) == (True, 5, entries[-1].hash)


async def test_a_pushed_bundle_stands_in_the_audit_without_its_bytes(house: House) -> None:
    await shop(house)
    (pushed,) = [one.call for one in await house.audited() if one.call.method.endswith("PushRevision")]
    assert pushed.subject.startswith("r-")
    assert json.loads(pushed.request)["header"]["application_name"] == "shop"


async def test_those_who_show_nothing_cannot_fill_the_audit(house: House) -> None:
    nobody = house.client()
    for _ in range(FAILURES_AT_MOST + 5):
        await refused(nobody.catalog.CreateApplication(catalog.CreateApplicationRequest(application_name="shop")))
    assert len(await house.audited()) == FAILURES_AT_MOST


async def test_who_was_suspended_stands_in_the_audit_by_name_and_cannot_fill_it(house: House) -> None:
    anna = await house.operator("anna", Grant(Role.Admin))
    await house.access.suspend("anna", "", UNASKED)
    for _ in range(FAILURES_AT_MOST + 5):
        await refused(anna.catalog.CreateApplication(catalog.CreateApplicationRequest(application_name="shop")))
    assert calls(await house.audited()) == [("operator:anna", "CreateApplication", "UNAUTHENTICATED", "shop")] * FAILURES_AT_MOST


async def test_a_change_that_cannot_be_written_down_is_not_answered_as_done(house: House) -> None:
    boss = await house.operator("boss", Grant(Role.Admin))

    async def full(call: AuditCall) -> AuditEntry:
        raise StorageFailed("cannot write the audit: input/output error; try again")

    house.store.audit.append = full  # type: ignore[method-assign]  # the disk fails
    no = await refused(boss.catalog.CreateApplication(catalog.CreateApplicationRequest(application_name="shop")))
    assert (no.code, "cannot write the audit" in no.message) == (grpc.StatusCode.UNAVAILABLE, True)


def test_secrets_do_not_reach_the_audit() -> None:
    said = catalog.RegisterRevisionRequest(application_name="shop")
    said.location.http.url = "https://user:secret@example.org/a.tgz?X-Signature=secret#secret"
    assert json.loads(request_text(said))["location"]["http"]["url"] == "https://example.org/a.tgz?..."
    assert "secret" not in request_text(said)
    made = pb.CreateOperatorTokenResponse(
        text="hlo_secret", operator_token=pb.OperatorToken(operator_token_id="ot-1", operator_name="anna")
    )
    assert "secret" not in request_text(made)
    assert subject_of(made) == "ot-1"
    let_in = fleet.ApproveHostResponse(enrolment=fleet.Enrolment(host_id="1" * 32, join_token_id="jt-1"))
    assert subject_of(let_in) == "1" * 32
    assert json.loads(request_text(catalog.RegisterRevisionRequest(description="x" * 20_000))) == {"left_out": "20018 characters"}


def test_what_is_secret_in_a_message_is_marked_as_such() -> None:
    words = {"secret", "password", "token", "text", "join_token"}
    messages = [message for file in server.FILES[:-1] for message in file.DESCRIPTOR.message_types_by_name.values()]
    fields = [field for message in messages for field in message.fields if field.name in words and field.message_type is None]
    assert len(fields) >= 3
    assert all(field.GetOptions().debug_redact for field in fields), fields


def test_of_what_operators_call_only_what_reads_is_left_out() -> None:
    reading = ("Get", "List", "Watch", "Read", "Plan", "Simulate", "Explain", "WhoAmI", "Verify", "Check", "ServerReflection", "TestAlarm")
    for method, rule in POLICY.items():
        if Kind.Operator in rule.kinds:
            assert rule.reads is method.rpartition("/")[2].startswith(reading), method
