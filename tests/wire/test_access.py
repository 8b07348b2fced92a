"""Operators behind TLS: who gets in, who may call what, what ends when they may not stay, and what the audit gets of it."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from coordinator.api import server
from coordinator.api.access.entrance import Bearer, Operators, peer_address
from coordinator.core.errors import Unauthenticated
from coordinator.core.identity.access import Grant, Role
from coordinator.service.access.attempts import FAILURES_AT_MOST
from hookline.v1 import access_pb2 as pb
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import fleet_pb2 as fleet
from tests.wire.house import UNASKED, Client, House, shop
from tests.wire.world import NOT_FOUND, bundle_of, refused

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
DENIED = grpc.StatusCode.PERMISSION_DENIED
ABSENT = grpc.StatusCode.UNIMPLEMENTED
WHOAMI = pb.WhoAmIRequest()
CALLERS = ("nobody", "agent", "invited", "viewer", "deployer", "approver", "admin")

# The least that each method takes, said here a second time so that a slip in the policy is seen.
LEAST = {
    "nobody": "Health/Check Health/List Health/Watch",
    "invited": "AccessService/IssueOperatorCertificate",  # and nobody else, whatever was granted
    "viewer": """
        CatalogService/GetApplication CatalogService/ListApplications CatalogService/GetDeploymentGroup CatalogService/ListDeploymentGroups
        CatalogService/GetDeploymentConfig CatalogService/ListDeploymentConfigs CatalogService/GetRevision CatalogService/ListRevisions
        DeploymentService/GetDeployment DeploymentService/ListDeployments DeploymentService/WatchDeployment DeploymentService/ListTargets
        DeploymentService/GetTarget DeploymentService/ListHistory DeploymentService/ReadLogs
        ForesightService/PlanDeployment ForesightService/SimulateDeployment
        ForesightService/ExplainDeployment ForesightService/ExplainHost
        FleetService/ListHosts FleetService/GetHost FleetService/ListEnrolments
        AlarmService/GetAlarm AlarmService/ListAlarms
        AccessService/WhoAmI AccessService/RenewOperatorCertificate ServerReflection/ServerReflectionInfo""",
    "deployer": """
        CatalogService/PushRevision CatalogService/RegisterRevision DeploymentService/CreateDeployment DeploymentService/StopDeployment
        DeploymentService/PauseDeployment DeploymentService/ResumeDeployment DeploymentService/PromoteDeployment
        DeploymentService/RetryTargets DeploymentService/SkipTargets
        AlarmService/TestAlarm""",
    "approver": """
        DeploymentService/ApproveDeployment
        FleetService/CreateJoinToken FleetService/ListJoinTokens FleetService/RevokeJoinToken FleetService/ApproveHost
        FleetService/RevokeHost FleetService/AdoptHost""",
    "admin": """
        CatalogService/CreateApplication CatalogService/DeleteApplication CatalogService/CreateDeploymentGroup
        CatalogService/UpdateDeploymentGroup CatalogService/DeleteDeploymentGroup CatalogService/CreateDeploymentConfig
        AlarmService/CreateAlarm AlarmService/UpdateAlarm AlarmService/DeleteAlarm TriggerService/TestTrigger
        CatalogService/DeleteDeploymentConfig FleetService/AddTags FleetService/RemoveTags FleetService/RemoveHost FleetService/RenameHost
        FleetService/SetInstanceProfile
        AccessService/CreateOperator AccessService/ListOperators AccessService/SuspendOperator AccessService/ResumeOperator
        AccessService/GrantRole AccessService/RevokeGrant AccessService/CreateOperatorToken AccessService/ListOperatorTokens
        AccessService/RevokeOperatorToken AccessService/ListOperatorCertificates AccessService/RevokeOperatorCertificate
        AuditService/ListAudit AuditService/VerifyAudit""",
}
ONE = "11111111-1111-4111-8111-111111111111"
ELSEWHERE = ("EnrolmentService", "AgentService")
STOPPED = ("nobody", "invited")
"""Who does not get as far as a call where certificates are shown, or has none yet."""


def least(method: str) -> str:
    name = "/".join(method.rpartition(".")[2].split("/"))
    (found,) = [role for role, methods in LEAST.items() if name in methods.split()]
    return found


async def outcome(client: Client, method: str) -> grpc.StatusCode:
    """How a call with an empty request goes; OK for a stream that has begun to answer."""
    while (code := await once(client, method)) is None:
        pass
    return code


async def once(client: Client, method: str) -> grpc.StatusCode | None:
    """None: gRPC's client was still sending when the call ended, and has made INTERNAL of how it did or does not know yet."""
    kinds: Any = client.channel
    one, many = streams(method)
    if any(f".{service}/" in method for service in ELSEWHERE):
        one = False  # a stream that nobody serves may be reset while its client still writes, and then the status is lost
    call: Any
    match one, many:
        case False, False:
            call = kinds.unary_unary(method)(b"")
        case False, True:
            call = kinds.unary_stream(method)(b"")
        case True, False:
            call = kinds.stream_unary(method)(iter([b""]))
        case _:
            call = kinds.stream_stream(method)(iter([b""]))
    try:
        if many:
            if await call.read() is not grpc.aio.EOF:
                return grpc.StatusCode.OK
            if not call.done():
                return None
            code, details = await call.code(), await call.details()
        else:
            await call
            return grpc.StatusCode.OK
    except grpc.aio.AioRpcError as error:
        code, details = error.code(), error.details()
    finally:
        call.cancel()
    is_the_servers = code is not grpc.StatusCode.INTERNAL or "its log says more" in str(details)
    return code if is_the_servers else None


def streams(method: str) -> tuple[bool, bool]:
    """Whether a method takes a stream, and whether it answers with one."""
    _, service, name = method.split("/")
    if service.endswith("ServerReflection"):
        return True, True
    for file in server.FILES:
        found = file.DESCRIPTOR.services_by_name.get(service.rpartition(".")[2])
        if found is not None and found.full_name == service:
            described = found.methods_by_name[name]
            return described.client_streaming, described.server_streaming
    raise AssertionError(method)


def may(who: str, method: str) -> bool:
    takes = least(method)
    return who == "invited" if takes == "invited" else CALLERS.index(who) >= CALLERS.index(takes)


async def calling(house: House, who: str, by: str) -> Client:
    """Somebody with that role, who shows a token or a certificate; an agent shows its certificate, wherever it calls."""
    if who in ("nobody", "agent"):
        pair = house.agents_pair() if who == "agent" else None
        return house.certified_client(pair) if by == "certificate" else house.client(pair=pair)
    await house.access.create(who, [Grant(Role.Admin if who == "invited" else Role[who.title()])], UNASKED)
    if who == "invited":
        return house.client(await house.invitation(who))
    return house.certified_client(await house.issued(who)) if by == "certificate" else house.client(await house.another(who))


@pytest.mark.parametrize("by, who", [("token", who) for who in CALLERS] + [("certificate", who) for who in CALLERS if who not in STOPPED])
async def test_every_method_takes_what_it_should_of_everybody(house: House, by: str, who: str) -> None:
    client = await calling(house, who, by)
    for method in server.methods():
        code = await outcome(client, method)
        if any(f".{service}/" in method for service in ELSEWHERE):
            assert code is ABSENT, method
        elif by == "certificate" and who == "agent":
            assert code is UNAUTHENTICATED, method
        elif may(who, method):
            assert code not in (UNAUTHENTICATED, DENIED), method
        else:
            assert code is (UNAUTHENTICATED if who in ("nobody", "agent") else DENIED), method


def test_every_method_is_in_the_table_once() -> None:
    for method in server.methods():
        if not any(f".{service}/" in method for service in ELSEWHERE):
            least(method)


async def test_an_operator_is_told_who_they_are(house: House) -> None:
    anna = house.client(await house.token("anna", Grant(Role.Deployer, "shop"), Grant(Role.Viewer), ttl=60_000))
    said = await anna.access.WhoAmI(WHOAMI)
    assert (said.principal, said.address) == ("operator:anna", "127.0.0.1")
    assert [(one.role, one.application_name) for one in said.grants] == [(pb.ROLE_DEPLOYER, "shop"), (pb.ROLE_VIEWER, "")]
    assert said.token_expire_time.ToMilliseconds() == house.world.clock.now() + 60_000
    await house.world.catalog_rows.create_application("blog", at=0, key=UNASKED)
    assert (await refused(house.client().access.WhoAmI(WHOAMI))).code is UNAUTHENTICATED


async def test_a_token_that_is_no_good_lets_nobody_in(house: House) -> None:
    for token, why in (
        ("hlo_unknown", "unknown here"),
        (await house.token("ended", ttl=1_000), "has ended"),
        (await house.token("left"), "suspended"),
        (await house.token("lost"), "was revoked"),
    ):
        if why == "has ended":
            house.world.clock.at += 1_000
        elif why == "suspended":
            await house.access.suspend("left", "", UNASKED)
        elif why == "was revoked":
            (made,) = (await house.access.tokens("lost", size=9, after="")).items
            await house.access.revoke_token(made.token_id, UNASKED)
        no = await refused(house.client(token).access.WhoAmI(WHOAMI))
        assert (no.code, why in no.message) == (UNAUTHENTICATED, True)


async def test_what_is_not_one_bearer_token_is_refused(house: House) -> None:
    access = house.client().access
    for said in ((("authorization", "Basic YTpi"),), (("authorization", "Bearer a"), ("authorization", "Bearer b"))):
        assert "once, as Bearer" in (await refused(access.WhoAmI(WHOAMI, metadata=said))).message


class OlderTls:
    """What gRPC tells of a call over TLS 1.2."""

    def peer(self) -> str:
        return "ipv6:%5B2001:db8::7%5D:4711"

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"ssl_tls_version": [b"TLSv1.2"]}


async def test_older_tls_is_refused_whoever_calls(house: House) -> None:
    call: Any = OlderTls()
    assert peer_address(call) == "2001:db8::7"
    with pytest.raises(Unauthenticated, match=r"TLS 1\.3"):
        await Operators(house.callers, Bearer(house.callers)).principal(call)


async def test_too_many_wrong_tokens_from_one_address_are_not_even_looked_up(house: House) -> None:
    wrong, right = house.client("hlo_wrong"), house.client(await house.token("anna"))
    for _ in range(FAILURES_AT_MOST):
        assert (await refused(wrong.access.WhoAmI(WHOAMI))).code is UNAUTHENTICATED
    assert (await refused(right.access.WhoAmI(WHOAMI))).code is grpc.StatusCode.RESOURCE_EXHAUSTED
    house.world.clock.at += 60_000
    await right.access.WhoAmI(WHOAMI)


async def test_what_is_changed_counts_from_the_next_call_on(house: House) -> None:
    boss, anna = await house.operator("boss", Grant(Role.Admin)), await house.operator("anna")
    grant = pb.Grant(role=pb.ROLE_VIEWER)
    listing = fleet.ListHostsRequest()
    assert (await refused(anna.fleet.ListHosts(listing))).code is DENIED
    await boss.access.GrantRole(pb.GrantRoleRequest(operator_name="anna", grant=grant))
    await anna.fleet.ListHosts(listing)
    await boss.access.SuspendOperator(pb.SuspendOperatorRequest(operator_name="anna"))
    assert "suspended" in (await refused(anna.fleet.ListHosts(listing))).message
    await boss.access.ResumeOperator(pb.ResumeOperatorRequest(operator_name="anna"))
    await anna.fleet.ListHosts(listing)
    await boss.access.RevokeGrant(pb.RevokeGrantRequest(operator_name="anna", grant=grant))
    assert (await refused(anna.fleet.ListHosts(listing))).code is DENIED


async def test_a_grant_for_one_group_ends_at_the_group(house: House) -> None:
    deployment = await shop(house)
    web = await house.operator("web", Grant(Role.Deployer, "shop", "web"))
    db = await house.operator("db", Grant(Role.Deployer, "shop", "db"))
    asked = deployments.GetDeploymentRequest(deployment_id=deployment)
    assert (await web.deployments.GetDeployment(asked)).deployment.deployment_group_name == "web"
    no = await refused(db.deployments.GetDeployment(asked))
    unknown = await refused(db.deployments.GetDeployment(deployments.GetDeploymentRequest(deployment_id="d-000000000")))
    assert no.message.replace(deployment, "d-000000000") == unknown.message
    stop = deployments.StopDeploymentRequest(deployment_id=deployment)
    assert (await refused(db.deployments.StopDeployment(stop))).code is DENIED
    assert (await refused(db.deployments.ListHistory(deployments.ListHistoryRequest(deployment_id=deployment)))).code is DENIED
    assert (await refused(web.deployments.ListDeployments(deployments.ListDeploymentsRequest(application_name="shop")))).code is DENIED
    await web.deployments.ListDeployments(deployments.ListDeploymentsRequest(application_name="shop", deployment_group_name="web"))
    await web.catalog.ListRevisions(catalog.ListRevisionsRequest(application_name="shop"))
    assert (await refused(web.catalog.ListRevisions(catalog.ListRevisionsRequest(application_name="blog")))).code is DENIED
    await web.deployments.StopDeployment(stop)


async def test_a_bundle_is_refused_by_its_header(house: House) -> None:
    await shop(house)
    blog = await house.operator("blog", Grant(Role.Deployer, "blog"), Grant(Role.Deployer, "shop", "web"))
    house.world.connect(blog.channel)
    no = await refused(house.world.push(bundle_of("appspec.yml")))
    assert (no.code, "cannot deploy for shop" in no.message) == (DENIED, True)
    house.world.connect((await house.operator("all", Grant(Role.Deployer, "shop"))).channel)
    await house.world.push(bundle_of("appspec.yml", "more.txt"))


async def test_a_token_may_allow_less_than_its_operator(house: House) -> None:
    await house.token("anna", Grant(Role.Admin))
    ci = house.client(await house.another("anna", narrowed=(Grant(Role.Viewer, "shop"),)))
    assert [(one.role, one.application_name) for one in (await ci.access.WhoAmI(WHOAMI)).grants] == [(pb.ROLE_VIEWER, "shop")]
    assert (await refused(ci.access.ListOperators(pb.ListOperatorsRequest()))).code is DENIED


@pytest.mark.parametrize("how", ["suspended", "revoked", "ungranted", "ended"])
async def test_what_an_operator_has_open_ends_with_their_right_to_it(house: House, how: str) -> None:
    deployment = await shop(house)
    await house.token("anna", Grant(Role.Viewer))
    anna = house.client(await house.another("anna", ttl=300 if how == "ended" else 0))
    call = anna.deployments.WatchDeployment(deployments.WatchDeploymentRequest(deployment_id=deployment))
    await call.read()
    if how == "suspended":
        await house.access.suspend("anna", "", UNASKED)
    elif how == "revoked":
        for one in (await house.access.tokens("anna", size=9, after="")).items:
            await house.access.revoke_token(one.token_id, UNASKED)
    elif how == "ungranted":
        await house.access.ungrant("anna", Grant(Role.Viewer), UNASKED)
    async with asyncio.timeout(30):
        no = await refused(rest_of(call))
    assert (no.code, "cannot go on" in no.message) == (DENIED, True)


async def rest_of(call: Any) -> None:
    while await call.read():
        pass
    raise AssertionError(await call.code())


async def test_tokens_are_made_for_a_time_and_said_once(house: House) -> None:
    boss = await house.operator("boss", Grant(Role.Admin))
    wanted = pb.CreateOperatorTokenRequest(operator_name="boss", ttl=Duration(seconds=3600), description="ci", request_id=ONE)
    made = await boss.access.CreateOperatorToken(wanted)
    assert made.text.startswith("hlo_")
    assert (made.authority_fingerprint, made.operator_address) == (house.authority.fingerprint, house.address)
    assert "twice" in (await refused(boss.access.CreateOperatorToken(wanted))).message
    await house.client(made.text).access.WhoAmI(WHOAMI)
    too_long = pb.CreateOperatorTokenRequest(operator_name="boss", ttl=Duration(seconds=366 * 86_400))
    assert (await refused(boss.access.CreateOperatorToken(too_long))).fields == ["ttl"]
    no_one = pb.CreateOperatorTokenRequest(operator_name="nobody")
    assert (await refused(boss.access.CreateOperatorToken(no_one))).code is NOT_FOUND
    listed = (await boss.access.ListOperatorTokens(pb.ListOperatorTokensRequest(operator_name="boss"))).operator_tokens
    assert [one.description for one in listed] == ["ci", ""]
    stored = (house.store.path).read_bytes() + house.store.path.with_name("hookline.db-wal").read_bytes()
    assert made.text.encode() not in stored


async def test_grants_that_cannot_be_are_refused(house: House) -> None:
    boss = await house.operator("boss", Grant(Role.Admin))
    for grant in (
        pb.Grant(),
        pb.Grant(role=pb.ROLE_VIEWER, deployment_group_name="web"),
        pb.Grant(role=pb.ROLE_VIEWER, application_name="a b"),
    ):
        no = await refused(boss.access.CreateOperator(pb.CreateOperatorRequest(operator_name="new", grants=[grant])))
        assert no.code is grpc.StatusCode.INVALID_ARGUMENT
