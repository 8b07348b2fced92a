"""What dashboards are made of: queries, panels on a grid, variables, annotations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Json = dict[str, Any]

PROMETHEUS: Final = {"type": "prometheus", "uid": "${datasource}"}
GRAFANA: Final = {"type": "grafana", "uid": "-- Grafana --"}
SCHEMA_VERSION: Final = 39
WIDTH: Final = 24
OURS: Final = 'job="hookline"'
"""How the coordinator is scraped (`deploy/prometheus/scrape.yml`)."""

GROUP: Final = f'{OURS}, application=~"$application", group=~"$group"'
"""The chosen groups. A coordinator without --metrics-names has no such labels, and is chosen by All."""

OUTCOMES: Final = {"succeeded": "green", "failed": "red", "stopped": "orange", "superseded": "#8e8e8e", "rolled_back": "purple"}
HOSTS: Final = {
    "succeeded": "green",
    "in_progress": "blue",
    "pending": "#8e8e8e",
    "skipped": "yellow",
    "failed": "red",
    "unknown": "purple",
}
COHORTS: Final = {"canary": "orange", "control": "blue", "rest": "#8e8e8e"}


@dataclass(frozen=True, kw_only=True)
class Query:
    """A PromQL expression and how its series are called."""

    expr: str
    legend: str = ""
    instant: bool = False
    format: str = "time_series"
    exemplar: bool = False

    def json(self, number: int) -> Json:
        """As Grafana wants it."""
        made = {
            "datasource": PROMETHEUS,
            "expr": self.expr,
            "format": self.format,
            "instant": self.instant,
            "legendFormat": self.legend or "__auto",
            "range": not self.instant,
            "refId": chr(ord("A") + number),
        }
        return made | ({"exemplar": True} if self.exemplar else {})


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A panel, so wide and high on a grid of 24 columns."""

    kind: str
    title: str
    queries: Sequence[Query]
    what: str
    """The sentence behind the (i)."""
    width: int = 8
    height: int = 8
    unit: str = "short"
    custom: Json = field(default_factory=dict)
    options: Json = field(default_factory=dict)
    colours: dict[str, str] = field(default_factory=dict)
    """Of series, by name."""
    steps: Sequence[tuple[float, str]] = ()
    """From which value on which colour; green below."""
    defaults: Json = field(default_factory=dict)
    transformations: Sequence[Json] = ()

    def json(self, number: int, x: int, y: int) -> Json:
        """As Grafana wants it."""
        steps: list[Json] = [{"color": "green", "value": None}, *({"color": colour, "value": value} for value, colour in self.steps)]
        fixed = [
            {
                "matcher": {"id": "byName", "options": name},
                "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
            }
            for name, colour in self.colours.items()
        ]
        defaults = {"unit": self.unit, "custom": self.custom, "thresholds": {"mode": "absolute", "steps": steps}} | self.defaults
        return {
            "datasource": PROMETHEUS,
            "description": self.what,
            "fieldConfig": {"defaults": defaults, "overrides": fixed},
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "id": number,
            "options": self.options,
            "targets": [query.json(place) for place, query in enumerate(self.queries)],
            "title": self.title,
            "transformations": list(self.transformations),
            "type": self.kind,
        }


def series(title: str, what: str, *queries: Query, stacked: bool = False, bars: bool = False, **more: Any) -> Panel:
    """Lines over time."""
    custom = {
        "drawStyle": "bars" if bars else "line",
        "fillOpacity": 60 if bars else 25 if stacked else 8,
        "lineWidth": 0 if bars else 1,
        "showPoints": "never",
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel(kind="timeseries", title=title, what=what, queries=queries, custom=custom, options=options, **more)


def stat(title: str, what: str, query: Query, **more: Any) -> Panel:
    """One number."""
    options = {
        "colorMode": "value",
        "graphMode": "none" if query.instant else "area",
        "justifyMode": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "auto",
    }
    return Panel(kind="stat", title=title, what=what, queries=(query,), options=options, **({"width": 4, "height": 4} | more))


def heatmap(title: str, what: str, query: Query, **more: Any) -> Panel:
    """A histogram over time; its query brings buckets by `le`."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "exponent": 0.5, "steps": 64},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "yAxis": {"unit": more.pop("unit", "s"), "axisPlacement": "left"},
        "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": False},
        "legend": {"show": False},
    }
    return Panel(kind="heatmap", title=title, what=what, queries=(query,), options=options, **more)


def table(title: str, what: str, query: Query, hidden: Iterable[str] = (), **more: Any) -> Panel:
    """Series as rows, without some columns."""
    left_out = dict.fromkeys(("Time", "__name__", "job", "instance", *hidden), True)
    organise: Json = {"id": "organize", "options": {"excludeByName": left_out, "indexByName": {}, "renameByName": {"Value": title}}}
    options = {"cellHeight": "sm", "showHeader": True}
    return Panel(kind="table", title=title, what=what, queries=(query,), options=options, transformations=(organise,), **more)


def rows(*panels: Panel | str) -> list[Json]:
    """Panels from left to right and from top to bottom; a text begins a row under a heading."""
    placed: list[Json] = []
    x = y = height = 0
    for number, panel in enumerate(panels, start=1):
        if isinstance(panel, str) or x + panel.width > WIDTH:
            x, y, height = 0, y + height, 0
        if isinstance(panel, str):
            placed.append(
                {
                    "collapsed": False,
                    "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y},
                    "id": number,
                    "panels": [],
                    "title": panel,
                    "type": "row",
                }
            )
            y += 1
            continue
        placed.append(panel.json(number, x, y))
        x, height = x + panel.width, max(height, panel.height)
    return placed


def variable(name: str, label: str, query: str) -> Json:
    """Something to choose from, any number of it, by a query. All is everything, also what has no such label."""
    return {
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "datasource": PROMETHEUS,
        "includeAll": True,
        "label": label,
        "multi": True,
        "name": name,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "type": "query",
    }


APPLICATION: Final = variable("application", "Application", f"label_values(hookline_deployments_started_total{{{OURS}}}, application)")
GROUPS: Final = variable(
    "group", "Group", f'label_values(hookline_deployments_started_total{{{OURS}, application=~"$application"}}, group)'
)
DATASOURCE: Final[Json] = {
    "label": "Prometheus",
    "name": "datasource",
    "query": "prometheus",
    "refresh": 1,
    "regex": "",
    "type": "datasource",
}


def annotation(name: str, colour: str, expr: str, title: str) -> Json:
    """A mark wherever a query has a value."""
    return {
        "datasource": PROMETHEUS,
        "enable": True,
        "expr": expr,
        "iconColor": colour,
        "name": name,
        "step": "60s",
        "tagKeys": "application,group",
        "target": {"datasource": PROMETHEUS, "expr": expr, "interval": "60s", "refId": "Anno"},
        "titleFormat": title,
        "useValueForTime": False,
    }


ANNOTATIONS: Final = (
    {
        "datasource": GRAFANA,
        "enable": True,
        "iconColor": "blue",
        "name": "Deployments, as the coordinator tells Grafana",
        "target": {"limit": 200, "matchAny": False, "tags": ["hookline"], "type": "tags"},
    },
    annotation("Deployments begin", "green", f"increase(hookline_deployments_started_total{{{GROUP}}}[1m]) > 0", "begins: {{trigger}}"),
    annotation("Rollbacks", "purple", f"increase(hookline_rollbacks_total{{{GROUP}}}[1m]) > 0", "rolled back: {{reason}}"),
)
"""The first needs a coordinator that tells Grafana; the others say the same from its metrics, to the minute."""


LINKS: Final[Json] = {
    "asDropdown": True,
    "icon": "external link",
    "includeVars": True,
    "keepTime": True,
    "tags": ["hookline"],
    "targetBlank": False,
    "title": "Hookline",
    "tooltip": "The other dashboards, about the same",
    "type": "dashboards",
    "url": "",
}


def dashboard(uid: str, title: str, what: str, panels: list[Json], *, since: str = "now-6h", more: Sequence[Json] = ()) -> Json:
    """A whole dashboard, which others find by its uid for ever."""
    return {
        "annotations": {"list": list(ANNOTATIONS)},
        "description": what,
        "editable": True,
        "graphTooltip": 1,
        "links": [LINKS],
        "panels": panels,
        "refresh": "",
        "schemaVersion": SCHEMA_VERSION,
        "tags": ["hookline"],
        "templating": {"list": [DATASOURCE, APPLICATION, GROUPS, *more]},
        "time": {"from": since, "to": "now"},
        "timepicker": {},
        "timezone": "",
        "title": title,
        "uid": uid,
        "version": 1,
    }
