"""Others are told of deployments: everything, in order, whatever becomes of the coordinator, and no deployment waits for them."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bundles import bundle
from tests.e2e.cluster import Cluster, until
from tests.e2e.receiver import Receiver, receiving

pytestmark = pytest.mark.timeout(300)

HOSTS = tuple(f"web-{number}" for number in range(1, 5))
WHERE = ("shop", "production")
SECRET = "whsec_" + base64.b64encode(b"the key of the shop's webhooks!!").decode()
EVENTS = {
    ("InProgress", False): "DeploymentStart",
    ("Succeeded", False): "DeploymentSuccess",
    ("Failed", False): "DeploymentFailure",
    ("InProgress", True): "InstanceStart",
    ("Succeeded", True): "InstanceSuccess",
    ("Failed", True): "InstanceFailure",
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def shop(tmp_path: Path, receiver: Receiver) -> Iterator[Cluster]:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "shop-hook").write_text(f"{SECRET}\n")
    (secrets / "chat").write_text(f"{receiver.url}/chat\n")
    options = ("--notify-allow", "127.0.0.1", "--notify-secrets", str(secrets), "--grafana", receiver.url)
    with Cluster(tmp_path / "cluster", options=options) as cluster:
        cluster.start_agents(*HOSTS)
        cluster.hookline("app", "create", "shop")
        cluster.hookline("group", "create", *WHERE, "--tag", "role=web", "--config", "CodeDeployDefault.OneAtATime")
        yield cluster


def tell(shop: Cluster, receiver: Receiver, name: str, on: str = "deployments,instances") -> None:
    """Let a path of the receiver be told."""
    shop.hookline("trigger", "set", *WHERE, name, "--webhook", f"{receiver.url}/{name}", "--on", on, "--sign", "shop-hook")


def deploy(shop: Cluster, directory: Path, version: str, **more: Any) -> str:
    """Begin a deployment."""
    revision = shop.hookline("push", "shop", str(bundle(directory / version, version, **more))).json["revision_id"]
    return str(shop.hookline("deploy", *WHERE, "--revision", revision).json["deployment_id"])


def expected(shop: Cluster) -> list[tuple[str, str]]:
    """The events that the history has, in its order: the number of the entry and the type of the event."""
    rows = shop.rows("SELECT history_id, entry, host_id IS NOT NULL, at FROM v_history WHERE deployment_id IS NOT NULL ORDER BY history_id")
    return [(str(number), EVENTS[entry, bool(host)]) for number, entry, host, _ in rows if (entry, bool(host)) in EVENTS]


def told(receiver: Receiver, path: str) -> list[tuple[str, str]]:
    """What was taken, without what came again, in the order in which it came first."""
    kinds = {one.headers["ce-id"]: one.headers["ce-type"].rpartition(".")[2] for one in receiver.taken(path)}
    return [(one.partition("-")[0], kinds[one]) for one in receiver.ids(path)]


def verified(headers: dict[str, str], body: bytes) -> bool:
    """Whether the documented snippet believes it."""
    text = (Path(__file__).parents[2] / "deploy" / "README.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?def verified\(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(snippet, names)  # the documentation's own words
    return bool(names["verified"](SECRET, headers, body))


def test_every_event_arrives_in_order_though_the_coordinator_is_killed_again_and_again(
    shop: Cluster, receiver: Receiver, tmp_path: Path
) -> None:
    tell(shop, receiver, "pager")
    shop.hookline("trigger", "set", *WHERE, "chat", "--slack", "secret:chat")
    deployment = deploy(shop, tmp_path, "v1")
    for kills in range(1, 5):
        until(lambda kills=kills: len(receiver.ids("/pager")) > 2 * kills, f"more than {2 * kills} events have arrived", 60)  # type: ignore[misc]
        shop.kill_coordinator()
        shop.start_coordinator()
    assert shop.ended(deployment) == "Succeeded"
    until(lambda: told(receiver, "/pager") == expected(shop), "everything was told", 60)
    assert len(expected(shop)) == 2 + 2 * len(HOSTS)
    until(lambda: len(receiver.ids("/chat")) == 2, "the chat was told")
    repeats = len(receiver.taken("/pager")) - len(receiver.ids("/pager"))
    assert repeats <= 4, "a kill repeats at most the one that was under way"
    for one in receiver.taken("/pager"):
        assert verified(one.headers, one.body)
        assert one.headers["webhook-id"] == one.headers["ce-id"]
        assert (one.said["region"], one.said["eventTriggerName"], one.said["deploymentId"]) == ("hookline", "pager", deployment)
    last = receiver.taken("/pager")[-1].said
    overview = {"Failed": "0", "InProgress": "0", "Pending": "0", "Skipped": "0", "Succeeded": "4"}
    assert (last["status"], last["deploymentOverview"]) == ("Succeeded", overview)
    assert receiver.taken("/chat")[-1].said["text"] == f":white_check_mark: Deployment {deployment} of *shop/production* has succeeded"
    until(lambda: [one["tags"][3] for one in receiver.annotations.values()] == ["outcome:succeeded"], "Grafana shows the end")
    (region,) = receiver.annotations.values()
    assert {"hookline", "app:shop", "group:production", f"deployment:{deployment}"} <= set(region["tags"])
    assert region["timeEnd"] > region["time"]


def test_a_target_that_hangs_and_one_that_refuses_hold_up_neither_deployments_nor_others(
    shop: Cluster, receiver: Receiver, tmp_path: Path
) -> None:
    for name in ("hanging", "refusing", "fine"):
        tell(shop, receiver, name)
    receiver.held.add("/hanging")
    receiver.status["/refusing"] = 500
    assert shop.ended(deploy(shop, tmp_path, "v1")) == "Succeeded"
    until(lambda: told(receiver, "/fine") == expected(shop), "the one that answers was told everything")
    assert not receiver.taken("/hanging")
    assert not receiver.taken("/refusing")
    until(lambda: "hookline_notification_targets_silent 2.0" in shop.http("/metrics"), "both are counted as silent")
    receiver.held.clear()
    receiver.let_go.set()
    receiver.status.clear()
    for name in ("/hanging", "/refusing"):
        until(lambda name=name: told(receiver, name) == expected(shop), f"{name} was told everything", 150)  # type: ignore[misc]
    assert 'hookline_notifications_total{kind="webhook",result="failed"}' in shop.http("/metrics")


def test_a_test_says_what_is_answered_and_what_lies_inside_is_not_asked(shop: Cluster, receiver: Receiver) -> None:
    tell(shop, receiver, "pager", on="DeploymentFailure")
    said = shop.typed("trigger", "test", *WHERE, "pager")
    assert (said.code, said.out.partition(" ")[0], "it answered 200" in said.out) == (0, "taken", True)
    (one,) = receiver.all
    assert (one.headers["ce-type"], verified(one.headers, one.body)) == ("hookline.v1.Test", True)
    receiver.status["/pager"] = 404
    said = shop.typed("trigger", "test", *WHERE, "pager")
    assert (said.code, "it answered 404" in said.out) == (1, True)
    for url, why in (
        ("http://[::1]:9/", "a private address that --notify-allow does not list"),
        ("https://10.0.0.1/", "a private address that --notify-allow does not list"),
        ("http://169.254.169.254/latest/", "link-local, metadata or special address"),
        ("http://example.org/", "use https, or have --notify-allow list it"),
    ):
        said = shop.typed("trigger", "set", *WHERE, "inside", "--webhook", url)
        assert (said.code, why in " ".join(said.err.split())) == (1, True), said.err


def test_a_failure_and_its_rollback_are_told_with_what_went_wrong(shop: Cluster, receiver: Receiver, tmp_path: Path) -> None:
    shop.hookline("group", "update", *WHERE, "--auto-rollback", "failure")
    assert shop.ended(deploy(shop, tmp_path, "v1")) == "Succeeded"
    tell(shop, receiver, "pager", on="deployments")
    failed = deploy(shop, tmp_path, "v2", fail=("ValidateService",))
    assert shop.ended(failed) == "Failed"
    until(lambda: len(receiver.taken("/pager")) == 5, "everything was told")
    said = [one.said for one in receiver.taken("/pager")]
    rollback = said[2]["deploymentId"]
    kinds = [one.headers["ce-type"].rpartition(".")[2] for one in receiver.taken("/pager")]
    assert list(zip(kinds, [one["deploymentId"] for one in said], strict=True)) == [
        ("DeploymentStart", failed),
        ("DeploymentFailure", failed),
        ("DeploymentRollback", rollback),
        ("DeploymentStart", rollback),
        ("DeploymentSuccess", rollback),
    ]
    assert said[1]["errorInformation"]["ErrorCode"] == "HEALTH_CONSTRAINTS"
    assert said[2]["rollbackInformation"]["RollbackTriggeringDeploymentId"] == failed
    until(lambda: sum("outcome:succeeded" in one["tags"] for one in receiver.annotations.values()) == 2, "Grafana shows the rollback")
    shown = {one["tags"][4]: one["tags"] for one in receiver.annotations.values()}
    assert "outcome:failed" in shown[f"deployment:{failed}"]
    assert "rollback" in shown[f"deployment:{rollback}"]
