"""Signed revisions, as a client and an agent see them: the coordinator keeps signatures, shows them, sends them on, and believes none."""

import hashlib

import pytest

from coordinator.cli.signing.minisign import SecretKey
from coordinator.cli.signing.statement import Terms
from coordinator.wire import agents
from hookline.v1 import agent_pb2 as agent
from hookline.v1 import catalog_pb2 as catalog
from hookline.v1 import deployments_pb2 as deployments
from hookline.v1 import resources_pb2 as resources
from tests.wire.world import INVALID, PRECONDITION, World, bundle_of, refused

KEY = SecretKey(id=b"release1", seed=bytes(range(32)))
BUNDLE = bundle_of("appspec.yml")


def signature(bundle: bytes = BUNDLE, *, application: str = "shop", counter: int = 42, size: int | None = None) -> resources.Signature:
    """What `hookline push --sign` sends."""
    terms = Terms(application=application, counter=counter, groups=(), not_after=None)
    statement = terms.of(sha256=hashlib.sha256(bundle).digest(), size=size or len(bundle), appspec=b"")
    return resources.Signature(statement=statement.encode(), signature=KEY.sign(statement.encode(), "a release").encode())


async def required(world: World, *, required: bool = True) -> catalog.DeploymentGroup:
    """The group shop/web takes signed revisions only."""
    group = catalog.DeploymentGroup(application_name="shop", deployment_group_name="web", require_signature=required)
    request = catalog.UpdateDeploymentGroupRequest(deployment_group=group)
    request.update_mask.paths.append("require_signature")
    return (await world.catalog.UpdateDeploymentGroup(request)).deployment_group


async def test_a_signed_revision_tells_its_counter_and_the_key(world: World) -> None:
    await world.shop()
    made = await world.push(BUNDLE, signature=signature())
    assert (made.signature.key_id, made.signature.counter) == (KEY.name, 42)
    assert made.signature.statement == signature().statement
    assert made.signature.signature == signature().signature.partition(b"\n")[2]
    request = catalog.GetRevisionRequest(application_name="shop", revision_id=made.revision_id)
    assert (await world.catalog.GetRevision(request)).revision == made


async def test_who_answers_for_a_bundle_makes_it_another_revision(world: World) -> None:
    await world.shop()
    unsigned = await world.push(BUNDLE)
    signed = await world.push(BUNDLE, signature=signature())
    again = await world.push(BUNDLE, signature=signature())
    newer = await world.push(BUNDLE, signature=signature(counter=43))
    assert len({unsigned.revision_id, signed.revision_id, newer.revision_id}) == 3
    assert again == signed


async def test_a_bundle_elsewhere_is_registered_with_a_signature(world: World) -> None:
    await world.shop()
    location = resources.RevisionLocation(s3=resources.S3Location(bucket="bundles", key="shop.tgz"))
    request = catalog.RegisterRevisionRequest(application_name="shop", location=location, signature=signature())
    assert (await world.catalog.RegisterRevision(request)).revision.signature.counter == 42
    request.location.sha256 = b"\x01" * 32
    no = await refused(world.catalog.RegisterRevision(request))
    assert (no.code, no.fields) == (INVALID, ["signature"])
    assert "its statement is about bundle" in no.message


async def test_a_directory_cannot_be_signed(world: World) -> None:
    await world.shop()
    location = resources.RevisionLocation(file=resources.FileLocation(path="/srv/shop"), bundle_type=resources.BUNDLE_TYPE_DIRECTORY)
    request = catalog.RegisterRevisionRequest(application_name="shop", location=location, signature=signature())
    no = await refused(world.catalog.RegisterRevision(request))
    assert no.message == "cannot accept a signature for a directory: agents could not verify it"


@pytest.mark.parametrize(
    "given, why",
    [
        (signature(application="bank"), "its statement is about application bank, and this is shop"),
        (signature(bundle_of("other")), "its statement is about bundle"),
        (signature(size=1), "its statement says 1 bytes"),
        (
            resources.Signature(statement=b"shop", signature=signature().signature),
            "the statement is not in the form that hookline sign writes",
        ),
        (resources.Signature(statement=signature().statement, signature=b"x\n"), "the signature is not in minisign's form"),
        (resources.Signature(statement=signature().statement), "the signature is not in minisign's form"),
        (resources.Signature(statement=b"\xff", signature=signature().signature), "it is not text"),
        (
            resources.Signature(statement=signature().statement, signature=signature().signature.replace(b"RU", b"RW")),
            "the signature is not of minisign's kind with a hash",
        ),
    ],
)
async def test_a_signature_that_no_agent_could_use_is_refused(world: World, given: resources.Signature, why: str) -> None:
    await world.shop()
    no = await refused(world.push(BUNDLE, signature=given))
    assert (no.code, no.fields) == (INVALID, ["header.signature"])
    assert why in no.message


async def test_a_group_that_requires_signatures_takes_no_other_revision(world: World) -> None:
    revision = await world.shop("h1")
    assert (await required(world)).require_signature
    no = await refused(world.deploy(revision))
    assert no.code == PRECONDITION
    assert f"cannot deploy revision {revision} to web: it is not signed, and the group requires signatures; sign it" in no.message
    signed = await world.push(BUNDLE, signature=signature())
    assert (await world.deploy(signed.revision_id)).revision_id == signed.revision_id


async def test_a_group_that_no_longer_requires_signatures_takes_any_revision(world: World) -> None:
    revision = await world.shop("h1")
    await required(world)
    assert not (await required(world, required=False)).require_signature
    assert (await world.deploy(revision)).revision_id == revision


async def test_an_instruction_brings_the_signature_to_the_agent(world: World) -> None:
    await world.shop("h1")
    signed = await world.push(BUNDLE, signature=signature())
    made = await world.deploy(signed.revision_id)
    told = frame(world, made)
    assert told.signature == resources.Signature(statement=signed.signature.statement, signature=signed.signature.signature)


async def test_an_instruction_for_an_unsigned_revision_brings_none(world: World) -> None:
    made = await world.deploy(await world.shop("h1"))
    assert not frame(world, made).HasField("signature")


def frame(world: World, made: deployments.Deployment) -> agent.Instruction:
    """What is sent to the host of a deployment."""
    instruction = world.engine.instructed[-1]
    assert instruction.plan.deployment_id == made.deployment_id
    message = agents.instruction_frame(instruction, agents.instruction_common(instruction.plan))
    return agent.CoordinatorMessage.FromString(message).instruction
