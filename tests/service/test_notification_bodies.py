"""What is sent: CodeDeploy's field names, CloudEvents' headers, Slack's blocks, and a signature that the documented snippet verifies."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coordinator.core.lifecycle import (
    DeploymentErrorCode,
    DeploymentStatus,
    EventStatus,
    LifecycleEvent,
    TargetStatus,
)
from coordinator.core.model import (
    DeploymentId,
    ErrorInformation,
    HostId,
    InstanceHealth,
    RevisionHealth,
    TriggerEvent,
)
from coordinator.core.orders import Entry
from coordinator.service.notifications import bodies, signing, slack
from coordinator.service.notifications.bodies import Told
from coordinator.service.notifications.events import event_of, wanted
from coordinator.service.notifications.ports import Notice
from coordinator.service.records import DeploymentRecord, EventRecord, TargetRecord
from tests.store.things import plan

NOW = 1_800_000_000_000

ERROR = ErrorInformation(code=DeploymentErrorCode.HEALTH_CONSTRAINTS, message="too few <healthy> hosts: 1 & 2")
DEPLOYMENT = DeploymentRecord(
    plan=plan("d-75I7MBT7C", created_at=NOW),
    status=DeploymentStatus.Failed,
    counts={TargetStatus.Failed: 8, TargetStatus.Unknown: 2, TargetStatus.Succeeded: 1},
    error=ERROR,
    stopping=ERROR,
    approved_by="",
    watched=False,
    rollback_deployment_id=None,
    rollback_message="",
    started_at=NOW + 1_000,
    completed_at=NOW + 9_402,
    commit=7,
)
TARGET = TargetRecord(
    deployment_id=DeploymentId("d-75I7MBT7C"),
    host_id=HostId("id-web-1"),
    host_name="web-1",
    status=TargetStatus.Succeeded,
    message="",
    events=(
        EventRecord(
            event=LifecycleEvent.ApplicationStop, status=EventStatus.Succeeded, started_at=NOW + 5, ended_at=NOW + 1_007, diagnostics=None
        ),
        EventRecord(event=LifecycleEvent.Install, status=EventStatus.Pending, started_at=None, ended_at=None, diagnostics=None),
    ),
    started_at=NOW,
    ended_at=NOW + 9,
    health=InstanceHealth.Healthy,
    revision_health=RevisionHealth.Current,
)


def notice(entry: Entry, host: str = "", **more: Any) -> Notice:
    made = Notice(
        history_id=4711,
        at=NOW + 9_402,
        entry=entry,
        application_name="shop",
        group_name="web",
        deployment_id=DeploymentId("d-75I7MBT7C"),
        host_id=HostId(f"id-{host}" if host else ""),
        host_name=host,
        message="",
        rolls_back="",
    )
    return made._replace(**more)


def told(said: Notice, **more: Any) -> Told:
    event = event_of(said)
    assert event is not None
    target = TARGET if said.host_id else None
    made = Told(trigger_name="pager", cluster="blue", event=event, notice=said, deployment=DEPLOYMENT, target=target)
    return replace(made, **more)


def test_a_deployment_is_told_in_the_originals_words() -> None:
    assert bodies.body(told(notice(Entry.Failed))) == {
        "region": "blue",
        "accountId": "000000000000",
        "eventTriggerName": "pager",
        "applicationName": "shop",
        "deploymentId": "d-75I7MBT7C",
        "deploymentGroupName": "web",
        "createTime": "1800000000.000",
        "completeTime": "1800000009.402",
        "deploymentOverview": {"Failed": "10", "InProgress": "0", "Pending": "0", "Skipped": "0", "Succeeded": "1"},
        "status": "Failed",
        "errorInformation": {"ErrorCode": "HEALTH_CONSTRAINTS", "ErrorMessage": "too few <healthy> hosts: 1 & 2"},
    }


def test_a_deployment_that_goes_on_has_no_end_and_no_error_even_when_it_failed_meanwhile() -> None:
    said = bodies.body(told(notice(Entry.InProgress)))
    assert (said["status"], "completeTime" in said, "errorInformation" in said) == ("InProgress", False, False)


def test_a_rollback_names_what_it_rolls_back() -> None:
    rollback = replace(DEPLOYMENT, plan=plan("d-75I7MBT7C", created_at=NOW, description="rolls back d-1 to revision r1"))
    said = bodies.body(told(notice(Entry.Created, rolls_back="d-1"), deployment=rollback))
    assert said["status"] == "Created"
    assert said["rollbackInformation"] == {
        "RollbackTriggeringDeploymentId": "d-1",
        "RollbackMessage": "rolls back d-1 to revision r1",
    }


def test_a_host_is_told_in_the_originals_words() -> None:
    assert bodies.body(told(notice(Entry.Succeeded, "web-1"))) == {
        "region": "blue",
        "accountId": "000000000000",
        "eventTriggerName": "pager",
        "deploymentId": "d-75I7MBT7C",
        "instanceId": "web-1",
        "lastUpdatedAt": "1800000009.402",
        "instanceStatus": "Succeeded",
        "lifecycleEvents": [
            {
                "LifecycleEvent": "ApplicationStop",
                "LifecycleEventStatus": "Succeeded",
                "StartTime": "1800000000.005",
                "EndTime": "1800000001.007",
            },
            {"LifecycleEvent": "Install", "LifecycleEventStatus": "Pending"},
        ],
    }
    assert bodies.body(told(notice(Entry.Unknown, "web-1"), target=None))["lifecycleEvents"] == []


def test_the_headers_are_those_of_cloud_events_in_binary_mode() -> None:
    assert bodies.cloud_event(told(notice(Entry.Succeeded, "web-1"))) == {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "4711-1800000009402",
        "ce-type": "hookline.v1.InstanceSuccess",
        "ce-source": "/hookline/blue/shop/web",
        "ce-time": "2027-01-15T08:00:09.402Z",
        "ce-subject": "d-75I7MBT7C/id-web-1",
    }
    assert bodies.cloud_event(told(notice(Entry.Stopped)))["ce-subject"] == "d-75I7MBT7C"


@pytest.mark.parametrize(
    "said, event",
    [
        (notice(Entry.Created), None),
        (notice(Entry.Created, rolls_back="d-1"), TriggerEvent.DeploymentRollback),
        (notice(Entry.InProgress), TriggerEvent.DeploymentStart),
        (notice(Entry.Succeeded), TriggerEvent.DeploymentSuccess),
        (notice(Entry.Failed), TriggerEvent.DeploymentFailure),
        (notice(Entry.Stopped), TriggerEvent.DeploymentStop),
        (notice(Entry.Stopping), None),
        (notice(Entry.InProgress, "a"), TriggerEvent.InstanceStart),
        (notice(Entry.Succeeded, "a"), TriggerEvent.InstanceSuccess),
        (notice(Entry.Failed, "a"), TriggerEvent.InstanceFailure),
        (notice(Entry.Unknown, "a"), TriggerEvent.InstanceFailure),
        (notice(Entry.Skipped, "a"), None),
        (notice(Entry.Created)._replace(entry="SomethingNew"), None),
    ],
)
def test_entries_are_events_or_nobodys_business(said: Notice, event: TriggerEvent | None) -> None:
    assert event_of(said) is event


def test_only_entries_that_are_wanted_are_asked_for() -> None:
    asked = wanted([TriggerEvent.DeploymentFailure, TriggerEvent.InstanceFailure])
    assert (list(asked.of_deployments), list(asked.of_hosts)) == ([Entry.Failed], [Entry.Failed, Entry.Unknown])


def test_slack_is_told_for_people() -> None:
    assert slack.message(told(notice(Entry.Failed, message=ERROR.message))) == {
        "text": ":x: Deployment d-75I7MBT7C of *shop/web* has failed",
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": ":x: Deployment d-75I7MBT7C of *shop/web* has failed"}},
            {"type": "section", "text": {"type": "mrkdwn", "text": ">too few &lt;healthy&gt; hosts: 1 &amp; 2"}},
            {
                "type": "context",
                "elements": [{"type": "mrkdwn", "text": "revision r1 · by ada · hosts: 1 Succeeded, 8 Failed, 2 Unknown"}],
            },
        ],
    }


@pytest.mark.parametrize(
    "said, text",
    [
        (notice(Entry.InProgress), ":arrow_forward: Deployment d-75I7MBT7C of *shop/web* has begun"),
        (notice(Entry.Succeeded), ":white_check_mark: Deployment d-75I7MBT7C of *shop/web* has succeeded"),
        (notice(Entry.Stopped), ":octagonal_sign: Deployment d-75I7MBT7C of *shop/web* was stopped"),
        (notice(Entry.Created, rolls_back="d-1"), ":rewind: d-75I7MBT7C rolls back d-1 of *shop/web*"),
        (notice(Entry.Failed, "web-1"), ":x: Deployment d-75I7MBT7C of *shop/web* has failed on web-1"),
        (notice(Entry.Unknown, "<!here>"), ":x: Deployment d-75I7MBT7C of *shop/web* has failed on &lt;!here&gt;"),
    ],
)
def test_slack_calls_every_event_by_a_sentence_and_nobody_by_name(said: Notice, text: str) -> None:
    assert slack.message(told(said))["text"] == text


def test_a_signature_is_verified_by_the_snippet_that_is_documented() -> None:
    text = (Path(__file__).parents[2] / "deploy" / "README.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?def verified\(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(snippet, names)  # the documentation's own words
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
    body = json.dumps({"status": "Failed"}).encode()
    headers = signing.signed(signing.key_of(secret), "4711-1", body, at=NOW)
    assert names["verified"](secret, headers, body, now=NOW / 1000 + 10)
    assert not names["verified"](secret, headers, body + b" ", now=NOW / 1000)
    assert not names["verified"](secret, headers | {"webhook-id": "4712-1"}, body, now=NOW / 1000)
    assert not names["verified"](secret, headers, body, now=NOW / 1000 + 301)
    assert not names["verified"]("whsec_" + base64.b64encode(b"x" * 32).decode(), headers, body, now=NOW / 1000)


def test_a_signature_is_that_of_the_standards_own_example() -> None:
    key = signing.key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signing.signed(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', at=1_614_265_330_000)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "whsec_", "secret", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!!" + "A" * 40])
def test_what_is_no_key_is_refused_and_not_quoted(secret: str) -> None:
    with pytest.raises(ValueError, match="it must be whsec_ and base64 of 24 to 64 bytes") as caught:
        signing.key_of(secret)
    assert "c2hvcnQ" not in str(caught.value)
