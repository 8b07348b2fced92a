"""What people look at who run the coordinator, and who ask how delivery goes."""

from typing import Final

from scripts.dashboards.parts import GROUP, OURS, OUTCOMES, Json, Query, dashboard, heatmap, rows, series, stat, table

SHARES: Final = (("p50", 0.5), ("p99", 0.99))
PROCESS: Final = f"{{{OURS}}}"


def quantiles(metric: str, *by: str, over: str = "$__rate_interval", shares: tuple[tuple[str, float], ...] = SHARES) -> list[Query]:
    """What so many of a histogram's observations do not exceed."""
    labels = ", ".join((*by, "le"))
    called = " ".join(f"{{{{{label}}}}}" for label in by)
    return [
        Query(
            expr=f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{{{OURS}}}[{over}])))",
            legend=f"{called} {name}".strip(),
            exemplar=True,
        )
        for name, share in shares
    ]


_COORDINATOR: Final = (
    stat("Up", "Whether Prometheus reaches it.", Query(expr=f"min(up{PROCESS})"), steps=(), defaults={"decimals": 0}),
    stat("Processor", "Of one core.", Query(expr=f"sum(rate(process_cpu_seconds_total{PROCESS}[$__rate_interval]))"), unit="percentunit"),
    stat("Memory", "Resident.", Query(expr=f"sum(process_resident_memory_bytes{PROCESS})"), unit="bytes"),
    stat(
        "Groups that stand still",
        "After an internal error: the log has it.",
        Query(expr=f"sum(hookline_groups_parked{PROCESS})"),
        steps=((1, "red"),),
    ),
    stat("Room for the database", "On its disk.", Query(expr=f"min(hookline_db_free_bytes{PROCESS})"), unit="bytes"),
    stat(
        "Last backup",
        "Made by `hookline-coordinator backup`.",
        Query(expr=f"time() - max(hookline_last_backup_timestamp_seconds{PROCESS})", instant=True),
        unit="s",
        steps=((129_600, "red"),),
        defaults={"noValue": "never"},
    ),
)
_ENGINE: Final = (
    "Event loop and engine",
    heatmap(
        "Event loop lag",
        "How late it came to a timer.",
        Query(
            expr=f"sum by (le) (increase(hookline_event_loop_lag_seconds_bucket{PROCESS}[$__rate_interval]))",
            legend="{{le}}",
            format="heatmap",
        ),
    ),
    series(
        "Facts that wait",
        "From 20,000 on, streams are not read any more.",
        Query(expr=f"sum(hookline_inbox_length{PROCESS})", legend="facts"),
    ),
    series(
        "History entries",
        "A second, by type.",
        Query(expr=f"sum by (type) (rate(hookline_history_entries_total{PROCESS}[$__rate_interval])) > 0", legend="{{type}}"),
        unit="ops",
    ),
)
_STORE: Final = (
    "Store",
    series("Commits", "How long the engine waited for one.", *quantiles("hookline_commit_duration_seconds"), unit="s"),
    series(
        "Transactions",
        "The wait for their turn included.",
        *quantiles("hookline_db_transaction_duration_seconds", "op", shares=SHARES[1:]),
        unit="s",
    ),
    series(
        "Rows a second",
        "That the engine commits.",
        Query(expr=f"sum(rate(hookline_commit_rows_sum{PROCESS}[$__rate_interval]))", legend="rows"),
        Query(expr=f"sum(rate(hookline_commit_rows_count{PROCESS}[$__rate_interval]))", legend="commits"),
        unit="ops",
    ),
    series(
        "Sizes",
        "Of the database, its write-ahead log, and the bundles that are kept.",
        Query(expr=f"sum(hookline_db_size_bytes{PROCESS})", legend="database"),
        Query(expr=f"sum(hookline_db_wal_bytes{PROCESS})", legend="write-ahead log"),
        Query(expr=f"sum(hookline_bundle_bytes{PROCESS})", legend="bundles"),
        unit="bytes",
        width=12,
    ),
    series(
        "Hooks' output",
        "Bytes a second that agents send, and that they left out.",
        Query(expr=f"sum(rate(hookline_log_bytes_total{PROCESS}[$__rate_interval]))", legend="sent"),
        Query(expr=f"sum(rate(hookline_log_dropped_bytes_total{PROCESS}[$__rate_interval]))", legend="left out"),
        unit="Bps",
        width=12,
    ),
)
_STREAMS: Final = (
    "Agents' streams",
    series(
        "Messages",
        "A second, by kind.",
        Query(
            expr=f"sum by (direction, kind) (rate(hookline_stream_messages_total{PROCESS}[$__rate_interval]))",
            legend="{{direction}} {{kind}}",
        ),
        unit="ops",
    ),
    series(
        "Bytes",
        "A second.",
        Query(expr=f"sum by (direction) (rate(hookline_stream_bytes_total{PROCESS}[$__rate_interval]))", legend="{{direction}}"),
        unit="Bps",
    ),
    series("Messages that waited for a stream", "When it was written to.", *quantiles("hookline_stream_send_queue_length")),
    series(
        "Dispatch",
        "From an instruction put on a stream to its host's next report.",
        *quantiles("hookline_dispatch_latency_seconds"),
        unit="s",
    ),
    series(
        "Hosts told to begin at one time",
        "As many as minimum healthy hosts allowed.",
        *quantiles("hookline_batch_size", over="$__range"),
    ),
    series(
        "Told to others",
        "Notifications a minute, by what became of them; targets that take none.",
        Query(
            expr=f"60 * sum by (kind, result) (rate(hookline_notifications_total{PROCESS}[$__rate_interval]))",
            legend="{{kind}} {{result}}",
        ),
        Query(expr=f"sum(hookline_notification_targets_silent{PROCESS})", legend="targets silent"),
    ),
)
_CALLS: Final = (
    "Calls over gRPC",
    series(
        "Ended, by status",
        "A second.",
        Query(expr=f"sum by (grpc_code) (rate(grpc_server_handled_total{PROCESS}[$__rate_interval]))", legend="{{grpc_code}}"),
        unit="ops",
    ),
    series(
        "Slowest methods, p99",
        "The five slowest.",
        Query(
            expr="topk(5, histogram_quantile(0.99, sum by (grpc_method, le) "
            f"(rate(grpc_server_handling_seconds_bucket{PROCESS}[$__rate_interval]))))",
            legend="{{grpc_method}}",
        ),
        unit="s",
    ),
    series(
        "Open calls",
        "Begun and not ended; streams last.",
        Query(
            expr=f"sum by (grpc_method) (grpc_server_started_total{PROCESS})"
            f" - sum by (grpc_method) (grpc_server_handled_total{PROCESS}) > 0",
            legend="{{grpc_method}}",
        ),
    ),
)


def internals() -> Json:
    """What the coordinator is busy with, and what it waits for."""
    return dashboard(
        "hookline-internals",
        "Hookline / Coordinator internals",
        "What the coordinator is busy with, and what it waits for.",
        rows(*_COORDINATOR, *_ENGINE, *_STORE, *_STREAMS, *_CALLS),
    )


_ENDED: Final = f"hookline_deployments_finished_total{{{GROUP}}}"
_BAD: Final = f'hookline_deployments_finished_total{{{GROUP}, outcome!~"succeeded|superseded"}}'
_ASKED: Final = f'hookline_deployments_started_total{{{GROUP}, trigger="operator"}}'

_DELIVERY: Final = (
    stat(
        "Deployments a day",
        "That somebody asked for: deployment frequency.",
        Query(expr=f"sum(increase({_ASKED}[$__range])) / ($__range_s / 86400)", instant=True),
        width=6,
        defaults={"decimals": 1},
    ),
    stat(
        "Change failure rate",
        "Of those that ended: failed, stopped, or rolled back.",
        Query(expr=f"sum(increase({_BAD}[$__range])) / sum(increase({_ENDED}[$__range]))", instant=True),
        width=6,
        unit="percentunit",
        steps=((0.15, "orange"), (0.3, "red")),
        defaults={"noValue": "none ended"},
    ),
    stat(
        "Time to restore",
        "How long rollbacks took, p50.",
        quantiles("hookline_rollback_duration_seconds", over="$__range", shares=SHARES[:1])[0],
        width=6,
        unit="s",
        defaults={"noValue": "no rollback"},
    ),
    stat(
        "Time of a change",
        "From its deployment's creation to its end, p50: the last part of its lead time; when it was made nobody tells the coordinator.",
        quantiles("hookline_deployment_duration_seconds", over="$__range", shares=SHARES[:1])[0],
        width=6,
        unit="s",
        defaults={"noValue": "none ended"},
    ),
    series(
        "Deployments a day, by what for",
        "Asked for, rollbacks, and for hosts that came later.",
        Query(expr=f"sum by (trigger) (increase(hookline_deployments_started_total{{{GROUP}}}[1d]))", legend="{{trigger}}"),
        width=12,
    ),
    series(
        "Deployments a day, by outcome",
        "In the day before.",
        Query(expr=f"sum by (outcome) (increase({_ENDED}[1d]))", legend="{{outcome}}"),
        stacked=True,
        colours=OUTCOMES,
        width=12,
    ),
    series(
        "Change failure rate",
        "In the day before, by group.",
        Query(
            expr=f"application_group:hookline_deployments_unsuccessful:ratio_increase1d{{{GROUP}}}",
            legend="{{application}} {{group}}",
        ),
        unit="percentunit",
        width=12,
    ),
    series(
        "Where the time goes",
        "Mean of the deployments that ended in the day before: at work, and waiting for people.",
        *(
            Query(
                expr=f"sum(increase(hookline_deployment_{part}_duration_seconds_sum{PROCESS}[1d])) / "
                f"sum(increase(hookline_deployment_duration_seconds_count{PROCESS}[1d]))",
                legend=name,
            )
            for part, name in (("active", "at work"), ("manual_wait", "waiting for people"))
        ),
        stacked=True,
        unit="s",
        width=12,
    ),
    table(
        "Deployments by group",
        "That somebody asked for, in the chosen time. Needs --metrics-names.",
        Query(expr=f"sort_desc(sum by (application, group) (increase({_ASKED}[$__range])))", instant=True, format="table"),
        width=12,
    ),
    table(
        "Unsuccessful by group",
        "In the chosen time.",
        Query(expr=f"sort_desc(sum by (application, group) (increase({_BAD}[$__range])))", instant=True, format="table"),
        width=12,
    ),
)


def delivery() -> Json:
    """The four numbers of DORA, as far as a coordinator can know them."""
    what = "Deployment frequency, change failure rate, time to restore, and the part of lead time that a coordinator sees."
    return dashboard("hookline-delivery", "Hookline / Delivery (DORA)", what, rows(*_DELIVERY), since="now-30d")
