"""Groups that take the word of a second person, over TLS: who may say it, who may not, and what is written down."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from coordinator.core.identity.access import Grant, Role
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as pb
from hookline.v1 import resources_pb2 as resources
from tests.wire.house import Client, House, housed, shop
from tests.wire.world import refused

ONE = "11111111-1111-4111-8111-111111111111"
DENIED, PRECONDITION = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.FAILED_PRECONDITION


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with housed(tmp_path) as made:
        yield made


async def wanted(house: House, by: Client) -> pb.Deployment:
    """A deployment that somebody has created, of a group that takes the word of a second person."""
    first = await shop(house)
    await house.world.deployments.StopDeployment(pb.StopDeploymentRequest(deployment_id=first))
    house.world.engine.groups.clear()
    group = catalog.DeploymentGroup(application_name="shop", deployment_group_name="web", require_approval=True)
    request = catalog.UpdateDeploymentGroupRequest(deployment_group=group)
    request.update_mask.paths.append("require_approval")
    await house.world.catalog.UpdateDeploymentGroup(request)
    shown = await house.world.deployments.GetDeployment(pb.GetDeploymentRequest(deployment_id=first))
    asked = pb.CreateDeploymentRequest(application_name="shop", deployment_group_name="web", revision_id=shown.deployment.revision_id)
    made: pb.CreateDeploymentResponse = await by.deployments.CreateDeployment(asked)
    return made.deployment


async def test_a_deployment_waits_for_an_approver_who_did_not_create_it(house: House) -> None:
    anna = await house.operator("anna", Grant(Role.Approver))
    made = await wanted(house, anna)
    assert (made.status, made.require_approval, made.approved_by) == (resources.DEPLOYMENT_STATUS_CREATED, True, "")
    asked = pb.ApproveDeploymentRequest(deployment_id=made.deployment_id, reason="looks right", request_id=ONE)
    own = await refused(anna.deployments.ApproveDeployment(asked))
    assert (own.code, "operator:anna created it" in own.message) == (DENIED, True)
    dora = await house.operator("dora", Grant(Role.Deployer))
    assert (await refused(dora.deployments.ApproveDeployment(asked))).code is DENIED
    elsewhere = await house.operator("else", Grant(Role.Approver, "shop", "db"))
    assert (await refused(elsewhere.deployments.ApproveDeployment(asked))).code is DENIED
    eve = await house.operator("eve", Grant(Role.Approver, "shop", "web"))
    for _ in range(2):  # the second is a repeat
        approved = (await eve.deployments.ApproveDeployment(asked)).deployment
        assert (approved.status, approved.approved_by) == (resources.DEPLOYMENT_STATUS_IN_PROGRESS, "operator:eve")
    again = await refused(eve.deployments.ApproveDeployment(pb.ApproveDeploymentRequest(deployment_id=made.deployment_id)))
    assert (again.code, "operator:eve has approved it already" in again.message) == (PRECONDITION, True)
    (said,) = [one for one in house.world.engine.told if one.entry == "Approved"]
    assert (said.principal, said.message) == ("operator:eve", "looks right")
    rows = [one.call for one in await house.audited() if one.call.method.endswith("ApproveDeployment")]
    assert [(one.principal, one.code) for one in rows] == [
        ("operator:anna", "PERMISSION_DENIED"),
        ("operator:dora", "PERMISSION_DENIED"),
        ("operator:else", "PERMISSION_DENIED"),
        ("operator:eve", "OK"),
        ("operator:eve", "OK"),
        ("operator:eve", "FAILED_PRECONDITION"),
    ]
    assert {one.reason for one in rows[:5]} == {"looks right"}


async def test_what_has_ended_cannot_be_approved(house: House) -> None:
    anna = await house.operator("anna", Grant(Role.Approver))
    made = await wanted(house, anna)
    await anna.deployments.StopDeployment(pb.StopDeploymentRequest(deployment_id=made.deployment_id))
    eve = await house.operator("eve", Grant(Role.Approver))
    no = await refused(eve.deployments.ApproveDeployment(pb.ApproveDeploymentRequest(deployment_id=made.deployment_id)))
    assert (no.code, no.reason) == (PRECONDITION, "DEPLOYMENT_ALREADY_COMPLETED")
    missing = await refused(eve.deployments.ApproveDeployment(pb.ApproveDeploymentRequest(deployment_id="d-000000000")))
    assert missing.code is grpc.StatusCode.NOT_FOUND
