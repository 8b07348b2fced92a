"""Two hosts, one of which calls ten thousand times at random in the other's name: it reads nothing of it, and changes nothing."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from hookline.v1 import agent_pb2 as pb
from hookline.v1 import agent_pb2_grpc, resources_pb2
from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster

pytestmark = pytest.mark.e2e

CALLS, ROUNDS, FETCHES = 10_000, 100, 12
PATIENCE = 60
"""Seconds that a call may take."""
OPENED = (("grpc.use_local_subchannel_pool", 1),)
STOLEN = b"written by another host\n"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "sources.toml").write_text(
        '[[s3]]\nsource = "s3://bundles/*"\nregion = "us-east-1"\nendpoint = "http://127.0.0.1:9"\n'
        'access_key_id = "AKIDEXAMPLE"\nsecret_access_key = {file = "/proc/version"}\n'
    )
    with Cluster(tmp_path / "cluster", options=("--source-credentials", str(tmp_path / "sources.toml")), secure=True) as cluster:
        cluster.start_agents("web-1")
        cluster.start_agents("db-1", tags=("role=db",))
        yield cluster


class Caller:
    """Calls with a host's certificate, and counts what it is answered."""

    def __init__(self, cluster: Cluster, host: str) -> None:
        current = cluster.agent_dir(host) / "identity" / "current"
        shown = grpc.ssl_channel_credentials(*((current / name).read_bytes() for name in ("trust.pem", "key.pem", "chain.pem")))
        self._channels = [grpc.aio.secure_channel(cluster.addresses[port], shown, options=OPENED) for port in ("listen", "bundles")]
        self.agents: agent_pb2_grpc.AgentServiceAsyncStub = agent_pb2_grpc.AgentServiceStub(self._channels[0])
        self.bundles: agent_pb2_grpc.AgentServiceAsyncStub = agent_pb2_grpc.AgentServiceStub(self._channels[1])
        self.answers: Counter[str] = Counter()

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    async def fetch(self, digest: bytes, offset: int) -> None:
        """A bundle, or a part of it."""
        try:
            async for response in self.bundles.FetchBundle(pb.FetchBundleRequest(sha256=digest, offset=offset), timeout=PATIENCE):
                self.answers[f"fetch {response.WhichOneof('message')}"] += 1
        except grpc.aio.AioRpcError as error:
            self.answers[f"fetch {error.code().name}"] += 1

    async def lend(self, instruction_id: str) -> None:
        """An address to read from."""
        try:
            await self.agents.LendSource(pb.LendSourceRequest(instruction_id=instruction_id), timeout=PATIENCE)
            self.answers["lend OK"] += 1
        except grpc.aio.AioRpcError as error:
            self.answers[f"lend {error.code().name}"] += 1

    async def publish(self, pieces: list[pb.PublishLogsRequest]) -> None:
        """Output, all of it in one call, each piece about another instruction."""
        call = self.agents.PublishLogs(timeout=PATIENCE)
        try:
            for piece in pieces:
                await call.write(piece)
            await call.done_writing()
            async for response in call:
                self.answers["publish refused" if response.refusal else "publish taken"] += 1
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):  # a connection holds four calls, and counts those that have just ended
            self.answers[f"publish {(await call.code()).name}"] += 1

    async def connect(self, hello: pb.Hello, reports: list[pb.Report]) -> None:
        """A stream, and what it is told within a moment."""
        call = self.agents.Connect(timeout=PATIENCE)
        try:
            await call.write(pb.AgentMessage(hello=hello))
            await call.write(pb.AgentMessage(reports=pb.Reports(first_seq=1, reports=reports)))
            await call.write(pb.AgentMessage(goodbye=pb.Goodbye(reason="done")))
            async for message in call:
                self.answers[f"connect {message.WhichOneof('message')}"] += 1
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            self.answers[f"connect {(await call.code()).name}"] += 1


class Thief:
    """What the other host could ask for, at random."""

    def __init__(self, own: str, others: str, deployments: list[str], digest: bytes) -> None:
        self.chance = random.Random(7)
        self.own, self.others, self.deployments, self.digest = own, others, deployments, digest

    def instruction(self) -> str:
        """The id of an instruction that is another's, or nobody's."""
        host = self.chance.choice([self.others, self.others, self.others, f"{self.chance.getrandbits(128):032x}"])
        return f"{self.chance.choice(self.deployments)}/{host}/{self.chance.randrange(3)}/{self.chance.randrange(1, 3)}"

    def piece(self) -> pb.PublishLogsRequest:
        """Output that another host is to have printed."""
        return pb.PublishLogsRequest(instruction_id=self.instruction(), offset=self.chance.choice([0, 1, 100]), content=STOLEN)

    def hello(self) -> pb.Hello:
        """Mostly in the other's name."""
        host = self.chance.choice([self.others, self.others, self.own])
        return pb.Hello(host_id=host, name=self.chance.choice(["web-1", "db-1"]), journal_id=f"j{self.chance.randrange(3)}")

    def report(self) -> pb.Report:
        """The end of an instruction that is another's."""
        event = resources_pb2.LIFECYCLE_EVENT_VALIDATE_SERVICE
        return pb.Report(
            instruction_id=self.instruction(), lifecycle_event=event, status=resources_pb2.LIFECYCLE_EVENT_STATUS_SUCCEEDED, time_unix_ms=1
        )


async def robbed(caller: Caller, thief: Thief) -> None:
    """Ten thousand calls, pieces and reports, some of each kind at the same time.

    Bundles are few: each time the process that serves them waits for a word that the coordinator may still send.
    """
    digests = [thief.digest, thief.digest, thief.chance.randbytes(32)]
    fetches = asyncio.gather(*(caller.fetch(thief.chance.choice(digests), thief.chance.choice([0, 1, 1 << 20])) for _ in range(FETCHES)))
    for _ in range(ROUNDS):
        calls = [caller.lend(thief.instruction()) for _ in range(CALLS // 2 // ROUNDS)]
        calls.append(caller.publish([thief.piece() for _ in range(CALLS // 4 // ROUNDS)]))
        calls.append(caller.connect(thief.hello(), [thief.report() for _ in range(CALLS // 4 // ROUNDS)]))
        thief.chance.shuffle(calls)
        await asyncio.gather(*calls)
    await fetches


async def asked(cluster: Cluster, thief: Thief) -> tuple[Counter[str], Counter[str]]:
    """What the owner is answered, who asks for each once, and the thief."""
    owner, stranger = Caller(cluster, "web-1"), Caller(cluster, "db-1")
    try:
        await owner.fetch(thief.digest, 0)
        await owner.lend(f"{thief.deployments[1]}/{thief.others}/0/1")
        await robbed(stranger, thief)
        return owner.answers, stranger.answers
    finally:
        await owner.close()
        await stranger.close()


@pytest.mark.timeout(240)
def test_of_ten_thousand_calls_in_another_hosts_name_none_reads_or_changes_anything(cluster: Cluster, tmp_path: Path) -> None:
    cluster.hookline("app", "create", "shop")
    for group in ("production", "staging"):
        cluster.hookline("group", "create", "shop", group, "--tag", "role=web")
    gate = cluster.gate("AfterInstall", "web-1")
    revisions = [
        cluster.hookline("push", "shop", str(bundle(tmp_path / "bundle", "v1"))).json["revision_id"],
        cluster.hookline("register", "shop", "--s3", "s3://bundles/x.tgz", "--sha256", "ab" * 32).json["revision_id"],
    ]
    first = str(cluster.hookline("deploy", "shop", "production", "--revision", revisions[0]).json["deployment_id"])
    cluster.reached(first, "AfterInstall", "web-1")
    second = str(cluster.hookline("deploy", "shop", "staging", "--revision", revisions[1]).json["deployment_id"])
    ids = {str(name): str(host_id) for name, host_id in cluster.rows("SELECT name, host_id FROM enrolment")}
    (digest,) = (bytes.fromhex(path.name) for path in (cluster.data_dir / "bundles").iterdir() if len(path.name) == 64)
    before = cluster.rows("SELECT * FROM v_lifecycle_events"), cluster.rows("SELECT deployment_id, status FROM v_deployments")
    cluster.kill("db-1")
    owners, thiefs = asyncio.run(asked(cluster, Thief(ids["db-1"], ids["web-1"], [first, second], digest)))
    assert (owners["fetch chunk"], owners["lend OK"]) == (1, 1), owners
    assert not {answer for answer in thiefs if answer in ("fetch chunk", "fetch size", "lend OK", "publish taken", "connect instruction")}
    assert thiefs["lend PERMISSION_DENIED"] + thiefs["lend UNAVAILABLE"] == CALLS // 2, thiefs
    assert thiefs["fetch retry_after"] + thiefs["fetch PERMISSION_DENIED"] == FETCHES, thiefs
    assert thiefs["publish refused"] > CALLS // 10, thiefs
    assert thiefs["connect welcome"], thiefs
    assert thiefs["connect PERMISSION_DENIED"], thiefs
    after = cluster.rows("SELECT * FROM v_lifecycle_events"), cluster.rows("SELECT deployment_id, status FROM v_deployments")
    assert after == before
    gate.let()
    assert cluster.ended(first) == "Succeeded"
    assert STOLEN.decode().strip() not in cluster.typed("logs", first).out
