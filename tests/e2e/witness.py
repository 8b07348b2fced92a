"""What has to be true of every deployment, whichever process was killed when: by the witness, and by the history."""

from collections import Counter
from collections.abc import Collection

from tests.e2e.bundles import EVENTS
from tests.e2e.cluster import Cluster

INSTALLING = ("BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService")
"""The events with hooks on a host that has nothing yet: there is nobody to stop."""


def check_hooks(cluster: Cluster, deployment_id: str, hosts: Collection[str], *, first: bool) -> None:
    """Every hook of a deployment that succeeded ran exactly once on every host, in order, and to its end; `first`: nobody was to stop."""
    events = INSTALLING if first else ("ApplicationStop", *INSTALLING)
    assert cluster.times(deployment_id) == Counter({(host, event): 1 for host in hosts for event in events})
    for host in hosts:
        check_host(cluster, deployment_id, host)


def check_host(cluster: Cluster, deployment_id: str, host: str) -> None:
    """Every hook of a target that succeeded ran exactly once, in order, and to its end."""
    ran = [hook for hook in cluster.hooks(deployment_id) if hook.host == host]
    events = [hook.lifecycle_event for hook in ran]
    assert events in (list(INSTALLING), ["ApplicationStop", *INSTALLING]), f"{host}: {events}"
    assert sorted(hook for hook in cluster.finished(deployment_id) if hook.host == host) == sorted(ran)


def check_once(cluster: Cluster, deployment_id: str) -> None:
    """No hook of a deployment began twice, and what the history says of it is true."""
    times = cluster.times(deployment_id)
    assert set(times.values()) <= {1}, [key for key, count in times.items() if count > 1]
    finished = {(hook.host, hook.lifecycle_event) for hook in cluster.finished(deployment_id)}
    for host, event, status, error_code in cluster.rows(
        "SELECT host_name, lifecycle_event, status, error_code FROM v_lifecycle_events WHERE deployment_id = ?", deployment_id
    ):
        ran = (host, event) in times
        if event not in INSTALLING:
            continue
        if status == "Succeeded":
            assert (host, event) in finished, f"{event} on {host} is said to have succeeded"
        elif status in ("Skipped", "Pending"):
            assert not ran, f"{event} on {host} is said to be {status}, but it ran"
        elif status == "Failed" and error_code == "ScriptFailed":
            assert (host, event) in finished, f"{event} on {host} is said to have failed by itself"


def check_closed(cluster: Cluster, deployment_id: str) -> None:
    """Every event of which hooks ran was closed once, and what closed it was told what the history says."""
    query = "SELECT host_name, lifecycle_event, status FROM v_lifecycle_events WHERE deployment_id = ?"
    ran = [row for row in cluster.rows(query, deployment_id) if (row[0], row[1]) in cluster.times(deployment_id)]
    assert sorted(cluster.closings(deployment_id)) == sorted(ran)


def check_history(cluster: Cluster, deployment_id: str, hosts: Collection[str]) -> None:
    """The history of a deployment that succeeded has every transition, of the deployment and of every target, exactly once."""
    entries = cluster.rows("SELECT entry, host_name, because FROM v_history WHERE deployment_id = ? ORDER BY history_id", deployment_id)
    assert [entry for entry, host, _ in entries if host is None] == ["Created", "Queued", "InProgress", "Succeeded"]
    for name in hosts:
        assert [entry for entry, host, _ in entries if host == name] == ["InProgress", "Succeeded"], name
    assert all(because for _, _, because in entries)
    targets = cluster.rows("SELECT host_name, status, started_at, ended_at FROM v_targets WHERE deployment_id = ?", deployment_id)
    assert sorted(name for name, *_ in targets) == sorted(hosts)
    for _, status, started_at, ended_at in targets:
        assert status == "Succeeded"
        assert started_at <= ended_at
    events = cluster.rows(
        "SELECT host_name, lifecycle_event, status, started_at, ended_at FROM v_lifecycle_events WHERE deployment_id = ?", deployment_id
    )
    assert Counter(event[:3] for event in events) == Counter({(host, event, "Succeeded"): 1 for host in hosts for event in EVENTS})
    assert all(started_at <= ended_at for *_, started_at, ended_at in events)


def integrity(cluster: Cluster) -> None:
    """The database is whole."""
    assert cluster.rows("PRAGMA integrity_check") == [("ok",)]
    assert cluster.rows("PRAGMA foreign_key_check") == []
