"""What is declared in files, with the installed programs: applied, exported, applied again without a change."""

from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster

DECLARED = """\
kind: DeploymentConfig
deployment_config_name: careful
minimum_healthy_hosts: {type: FLEET_PERCENT, value: 75}
---
kind: Alarm
alarm_name: HighErrors
expression: {expression: 'rate(errors[1m])', comparison: GREATER, threshold: 0.05, for_duration: 1500ms}
on_error: ALARM
---
kind: Alarm
alarm_name: Paged
alertmanager_alert: {labels: {severity: page, team: 'no'}}
interval: 10s
---
kind: Application
application_name: shop
---
kind: Application
application_name: mail
---
kind: DeploymentGroup
application_name: shop
deployment_group_name: production
tag_sets:
- tag_filters: [{key: role, value: web}, {key: canary}]
- tag_filters: [{value: west}]
deployment_config_name: careful
auto_rollback_configuration: {enabled: true, events: [DEPLOYMENT_STOP_ON_ALARM, DEPLOYMENT_FAILURE]}
alarm_configuration: {enabled: true, alarms: [Paged, HighErrors], bake_time: 10m, ignore_poll_alarm_failure: true}
offline_policy: {action: SKIP, budget: 0}
outdated_instances_strategy: IGNORE
require_approval: true
service_role: {sources: [coordinator, 's3://bundles/*'], max_hosts: 50, deployment_config_names: [careful]}
---
kind: DeploymentGroup
application_name: mail
deployment_group_name: plain
tag_filters: [{key: role, value: mail}]
"""

EVERYTHING = """\
kind: DeploymentConfig
deployment_config_name: careful
minimum_healthy_hosts: {type: FLEET_PERCENT, value: 75}
canaries: {tag_filters: [{key: canary}], bake_time: 10m, gate: {approvers: ['role:approver'], timeout: 2h}}
steps: [{hosts: 1, bake_time: 90s}, {percent: 30, gate: {approvers: [anna, bob]}}]
---
kind: DeploymentConfig
deployment_config_name: measured
minimum_healthy_hosts: {type: FLEET_PERCENT, value: 0}
steps:
- percent: 10
  analysis:
    initial_delay: 30s
    metrics: [{name: errors, expression: 'rate(e[1m])', success_condition: {comparison: LESS, threshold: 1}, interval: 20s}]
---
kind: DeploymentConfig
deployment_config_name: zonal
minimum_healthy_hosts: {type: HOST_COUNT, value: 1}
zonal_config:
  first_zone_monitor_duration_in_seconds: 60
  monitor_duration_in_seconds: 5
  minimum_healthy_hosts_per_zone: {type: FLEET_PERCENT, value: 50}
  zone_tag: rack
---
kind: Alarm
alarm_name: HighErrors
prometheus_alert: {alert_name: HighErrors, labels: {severity: page}}
---
kind: Application
application_name: shop
---
kind: DeploymentGroup
application_name: shop
deployment_group_name: production
tag_filters: [{key: role, value: web}, {key: 'fact:os', value: linux}]
deployment_config_name: careful
rollback_deployment_config_name: zonal
queueing: SUPERSEDE
require_approval: true
auto_rollback_configuration: {enabled: true, events: [DEPLOYMENT_STOP_ON_ALARM, DEPLOYMENT_FAILURE, DEPLOYMENT_STOP_ON_REQUEST]}
alarm_configuration: {enabled: true, alarms: [HighErrors], bake_time: 10m, watch_after_success: 1h}
offline_policy: {action: WAIT, wait: 90s, budget: 3}
triggers:
- {trigger_name: chat, trigger_events: [DeploymentFailure], webhook: {url: 'https://8.8.8.8/chat'}}
- {trigger_name: pager, trigger_events: [DeploymentStop, DeploymentStart], webhook: {url: 'https://8.8.8.8/d'}}
"""


def test_what_is_declared_is_there_and_what_is_exported_is_what_was_declared(tmp_path: Path) -> None:
    file, again = tmp_path / "declared.yaml", tmp_path / "exported.yaml"
    file.write_text(DECLARED)
    with Cluster(tmp_path / "cluster") as cluster:
        assert cluster.typed("apply", "-f", str(file), "--dry-run").code == 4
        first = cluster.typed("apply", "-f", str(file))
        assert first.out.endswith("7 created, 0 as declared\n"), first.err
        assert cluster.typed("apply", "-f", str(file), "--prune", "all").out == "7 as declared\n"
        again.write_text(cluster.typed("export").out)
        assert cluster.typed("apply", "-f", str(again), "--prune", "all", "--dry-run").out == "7 as declared\n"
        # Another source, other hosts, the defaults again; and an application goes with all that is its own.
        changed = DECLARED.partition("expression:")[0] + "prometheus_alert: {alert_name: Errors}\n---\n"
        changed += DECLARED.partition("on_error: ALARM\n---\n")[2].partition("---\nkind: Application\napplication_name: mail")[0]
        changed += "---\nkind: DeploymentGroup\napplication_name: shop\ndeployment_group_name: production\ntag_filters: [{key: role}]\n"
        file.write_text(changed)
        done = cluster.typed("apply", "-f", str(file), "--prune", "all")
        assert done.out.endswith("2 changed, 2 deleted, 3 as declared\n"), done.out + done.err
        assert cluster.typed("apply", "-f", str(file), "--prune", "all").out == "5 as declared\n"
        assert [one["application_name"] for one in cluster.hookline("app", "list").json] == ["shop"]


@pytest.mark.timeout(120)  # two coordinators, one after the other
def test_what_is_exported_makes_an_empty_coordinator_the_same(tmp_path: Path) -> None:
    file, exported = tmp_path / "declared.yaml", tmp_path / "exported.yaml"
    file.write_text(EVERYTHING)
    with Cluster(tmp_path / "one") as cluster:
        first = cluster.typed("apply", "-f", str(file))
        assert first.out.endswith("6 created, 0 as declared\n"), first.out + first.err
        exported.write_text(cluster.typed("export").out)
    with Cluster(tmp_path / "other") as cluster:
        again = cluster.typed("apply", "-f", str(exported))
        assert again.out.endswith("6 created, 0 as declared\n"), again.out + again.err
        assert cluster.typed("export").out == exported.read_text()
        same = cluster.typed("apply", "-f", str(file), "--dry-run")
        assert same.out == "6 as declared\n", same.err
