"""What people look at who deploy: the fleet, and one deployment."""

from typing import Final

from scripts.dashboards.parts import (
    COHORTS,
    GROUP,
    HOSTS,
    OURS,
    OUTCOMES,
    Json,
    Query,
    dashboard,
    heatmap,
    rows,
    series,
    stat,
    table,
    variable,
)

SEEN: Final = 'application=~"$application", deployment_group=~"$group", cohort!=""'
"""The hosts of the chosen groups, as Prometheus finds them at the coordinator's /sd/prometheus."""

EVENT: Final = variable("event", "Lifecycle event", f"label_values(hookline_hook_executions_total{{{OURS}}}, event)")
SIGNAL: Final[Json] = {
    "current": {"selected": True, "text": "up", "value": "up"},
    "description": "A metric of the application: its mean over the hosts of each cohort is shown",
    "label": "Signal",
    "name": "signal",
    "query": "up",
    "type": "textbox",
}


_ENDED: Final = f"increase(hookline_deployments_finished_total{{{GROUP}}}[$__range])"

_FLEET: Final = (
    stat("Agents connected", "Hosts whose stream is open.", Query(expr=f"sum(hookline_agents_connected{{{OURS}}})")),
    stat(
        "Hosts lost",
        "Silent for a minute: they count as unhealthy.",
        Query(expr=f'sum(hookline_agents_known{{{OURS}, status="lost"}})'),
        steps=((1, "orange"),),
    ),
    stat("Deployments in progress", "Those that have not ended.", Query(expr=f"sum(hookline_deployments_in_progress{{{GROUP}}})")),
    stat(
        "Success ratio",
        "Of the deployments that ended in the chosen time.",
        Query(
            expr=f'sum(increase(hookline_deployments_finished_total{{{GROUP}, outcome="succeeded"}}[$__range])) / sum({_ENDED})',
            instant=True,
        ),
        unit="percentunit",
        defaults={"noValue": "none ended"},
    ),
    stat(
        "Rollbacks",
        "In the chosen time.",
        Query(expr=f"sum(increase(hookline_rollbacks_total{{{GROUP}}}[$__range]))", instant=True),
        defaults={"decimals": 0},
        steps=((1, "orange"),),
    ),
    stat(
        "Alerts",
        "Rules of deploy/prometheus that fire now, but for the watchdog.",
        Query(expr='count(ALERTS{alertname=~"Hookline.*", alertname!="HooklineWatchdog", alertstate="firing"}) or vector(0)', instant=True),
        steps=((1, "red"),),
    ),
)
_DEPLOYMENTS: Final = (
    "Deployments",
    series(
        "In progress, by what they do",
        "Waiting for approval, queued, at work, watching alarms after the last host, or stopping.",
        Query(expr=f"sum by (status) (hookline_deployments_in_progress{{{GROUP}}})", legend="{{status}}"),
        stacked=True,
    ),
    series(
        "Hosts of live deployments",
        "How far they are.",
        Query(expr=f"sum by (status) (hookline_hosts{{{GROUP}}})", legend="{{status}}"),
        stacked=True,
        colours=HOSTS,
    ),
    series(
        "Ended, by outcome",
        "An hour at a time.",
        Query(expr=f"sum by (outcome) (increase(hookline_deployments_finished_total{{{GROUP}}}[1h]))", legend="{{outcome}}"),
        bars=True,
        stacked=True,
        colours=OUTCOMES,
    ),
    table(
        "Current revision",
        "What was deployed last with success. Needs --metrics-names.",
        Query(expr=f"hookline_current_revision_info{{{GROUP}}}", instant=True, format="table"),
        hidden=("Value",),
        width=12,
    ),
    table(
        "Last success",
        "How long ago.",
        Query(expr=f"time() - hookline_last_success_timestamp_seconds{{{GROUP}}}", instant=True, format="table"),
        width=12,
        unit="s",
    ),
)
_AGENTS: Final = (
    "Hosts",
    series(
        "By status",
        "Suspect: its stream has ended, less than a minute ago.",
        Query(expr=f"sum by (status) (hookline_agents_known{{{OURS}}})", legend="{{status}}"),
        stacked=True,
    ),
    series(
        "Streams that began and ended",
        "A second.",
        Query(expr=f"sum by (result) (rate(hookline_agent_connects_total{{{OURS}}}[$__rate_interval]))", legend="began: {{result}}"),
        Query(expr=f"sum by (reason) (rate(hookline_agent_disconnects_total{{{OURS}}}[$__rate_interval]))", legend="ended: {{reason}}"),
        unit="ops",
    ),
    series(
        "Agents by version",
        "The ten that most have.",
        Query(expr=f"sum by (agent_version) (hookline_agents_connected_by_version{{{OURS}}})", legend="{{agent_version}}"),
        stacked=True,
    ),
)


def fleet() -> Json:
    """Who is there, what goes on, and how it went."""
    return dashboard(
        "hookline-fleet",
        "Hookline / Fleet overview",
        "Who is there, what goes on, and how it went.",
        rows(*_FLEET, *_DEPLOYMENTS, *_AGENTS),
        since="now-24h",
    )


_HOOKS: Final = f'{OURS}, event=~"$event"'

_DEPLOYMENT: Final = (
    series(
        "Hosts",
        "How far they are, while a deployment is live.",
        Query(expr=f"sum by (status) (hookline_hosts{{{GROUP}}})", legend="{{status}}"),
        stacked=True,
        colours=HOSTS,
        width=12,
    ),
    series(
        "Healthy hosts and their minimum",
        "Healthy, there, and not being deployed to.",
        Query(expr=f"sum(hookline_healthy_hosts{{{GROUP}}})", legend="healthy"),
        Query(expr=f"sum(hookline_healthy_hosts_min{{{GROUP}}})", legend="minimum"),
        colours={"healthy": "green", "minimum": "red"},
        width=6,
    ),
    stat(
        "Last word of a host",
        "Since when no host has reported anything, while one should.",
        Query(expr=f"time() - min(hookline_deployment_progress_timestamp_seconds{{{GROUP}}})"),
        unit="s",
        width=6,
        height=4,
        steps=((600, "orange"), (1800, "red")),
        defaults={"noValue": "nobody is waited for"},
    ),
    stat(
        "Rollbacks",
        "In the chosen time.",
        Query(expr=f"sum(increase(hookline_rollbacks_total{{{GROUP}}}[$__range]))", instant=True),
        width=6,
        height=4,
        defaults={"decimals": 0},
        steps=((1, "orange"),),
    ),
)
_COHORTS_APART: Final = (
    "Canary against control (needs /sd/prometheus as a scrape configuration)",
    series(
        "$signal by cohort",
        "Its mean over the hosts of each cohort.",
        Query(expr=f"avg by (cohort) ($signal{{{SEEN}}})", legend="{{cohort}}"),
        colours=COHORTS,
        width=12,
    ),
    series(
        "$signal, canary less control",
        "Above 0, canaries have more of it.",
        Query(expr=f'avg($signal{{{SEEN}, cohort="canary"}}) - avg($signal{{{SEEN}, cohort="control"}})', legend="difference"),
    ),
    stat(
        "Canaries that answer",
        "Of those that Prometheus scrapes.",
        Query(expr=f'avg(up{{{SEEN}, cohort="canary"}})'),
        unit="percentunit",
        defaults={"noValue": "no canaries"},
    ),
    series(
        "Hosts by cohort",
        "As Prometheus finds them at the coordinator.",
        Query(expr=f"count by (cohort) (up{{{SEEN}}})", legend="{{cohort}}"),
        stacked=True,
        colours=COHORTS,
        width=12,
    ),
    series(
        "Hosts by revision",
        "What they have.",
        Query(expr=f"count by (revision) (up{{{SEEN}}})", legend="{{revision}}"),
        stacked=True,
        width=12,
    ),
)
_EVENTS: Final = (
    "Lifecycle events (of all groups)",
    heatmap(
        "How long they took",
        "By the hosts' own clocks. The marks are failures, with their deployment's id, where Prometheus keeps exemplars.",
        Query(
            expr=f"sum by (le) (increase(hookline_hook_duration_seconds_bucket{{{_HOOKS}}}[$__rate_interval]))",
            legend="{{le}}",
            format="heatmap",
            exemplar=True,
        ),
        width=12,
    ),
    series(
        "Failed, by event",
        "A minute.",
        Query(
            expr=f'60 * sum by (event) (rate(hookline_hook_executions_total{{{_HOOKS}, outcome="failed"}}[$__rate_interval]))',
            legend="{{event}}",
        ),
        Query(
            expr=f"60 * sum by (event) (rate(hookline_hook_timeouts_total{{{_HOOKS}}}[$__rate_interval]))",
            legend="{{event}} at its deadline",
        ),
        width=6,
    ),
    series(
        "Bundles",
        "How long hosts took to have them, p95, by where they came from.",
        Query(
            expr="histogram_quantile(0.95, sum by (source, le) "
            f"(rate(hookline_artifact_fetch_duration_seconds_bucket{{{OURS}}}[$__rate_interval])))",
            legend="{{source}}",
        ),
        unit="s",
        width=6,
    ),
)
_ALARMS: Final = (
    "Alarms and rollbacks",
    series(
        "Looks at alarms",
        "A minute, by what they brought. Unknown is not OK: no further host begins.",
        Query(
            expr=f'60 * sum by (status) (rate(hookline_alarm_looks_total{{{OURS}, source!="measurement"}}[$__rate_interval]))',
            legend="{{status}}",
        ),
        stacked=True,
        colours={"OK": "green", "ALARM": "red", "UNKNOWN": "orange"},
    ),
    series(
        "From an alarm to the first host that goes back",
        "p50 and p95.",
        *(
            Query(
                expr=f"histogram_quantile({share}, sum by (le) (rate(hookline_alarm_to_rollback_seconds_bucket{{{OURS}}}[$__range])))",
                legend=name,
            )
            for name, share in (("p50", 0.5), ("p95", 0.95))
        ),
        unit="s",
    ),
    series(
        "Rollbacks, by reason",
        "An hour at a time.",
        Query(expr=f"sum by (reason) (increase(hookline_rollbacks_total{{{GROUP}}}[1h]))", legend="{{reason}}"),
        bars=True,
        stacked=True,
    ),
    series(
        "Stages that ended, by outcome",
        "An hour at a time; a deployment without stages is one.",
        Query(expr=f"sum by (outcome) (increase(hookline_batches_finished_total{{{GROUP}}}[1h]))", legend="{{outcome}}"),
        bars=True,
        stacked=True,
        colours=OUTCOMES,
    ),
    series(
        "Analyses, by verdict",
        "An hour at a time. An inconclusive one pauses its deployment and asks.",
        Query(expr=f"sum by (verdict) (increase(hookline_analysis_runs_total{{{GROUP}}}[1h]))", legend="{{verdict}}"),
        bars=True,
        stacked=True,
        colours={"successful": "green", "failed": "red", "inconclusive": "orange"},
    ),
    series(
        "Measurements of analyses",
        "A minute, by what they brought.",
        Query(expr=f"60 * sum by (outcome) (rate(hookline_analysis_measurements_total{{{OURS}}}[$__rate_interval]))", legend="{{outcome}}"),
        stacked=True,
        colours={"success": "green", "failure": "red", "inconclusive": "orange"},
    ),
)


def deployment() -> Json:
    """How a deployment goes, on its hosts and for those who use them."""
    what = "How a deployment goes, on its hosts and for those who use them."
    return dashboard(
        "hookline-deployment",
        "Hookline / Deployment detail",
        what,
        rows(*_DEPLOYMENT, *_COHORTS_APART, *_EVENTS, *_ALARMS),
        since="now-3h",
        more=(EVENT, SIGNAL),
    )
