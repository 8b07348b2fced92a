"""Every query of every dashboard and rule asks for what there is, and links lead somewhere."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from tests.metrics.queries import DEPLOY, Asked, asked, exposed, grouped, kept

ROOT = DEPLOY.parent
BOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
RULES = [rule for group in yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())["groups"] for rule in group["rules"]]
CHOSEN = {"$__rate_interval": "5m", "$__range_s": "3600", "$__range": "1h", "$signal": "up"}
"""What stands for Grafana's variables; those that stand within quotes are texts already."""

LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def filled(expression: str) -> str:
    """An expression as Grafana sends it."""
    for name, value in CHOSEN.items():
        expression = expression.replace(name, value)
    return expression


def recorded() -> dict[str, frozenset[str]]:
    """The labels of all series: those that are exposed, and those that rules make of them."""
    series = exposed()
    for rule in RULES:
        if "record" in rule:
            series[rule["record"]] = kept(promql.parse(rule["expr"]), series)
    return series


def board(path: Path) -> dict[str, Any]:  # JSON
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


def queries(path: Path) -> Iterator[tuple[str, str, str]]:
    """Where a query stands in a dashboard, the query, and what its series are called."""
    for panel in board(path)["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]
    for one in board(path)["annotations"]["list"]:
        if "expr" in one:
            yield one["name"], one["expr"], one["titleFormat"]
    for one in board(path)["templating"]["list"]:
        if one["type"] == "query":
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", one["query"]["query"]).groups()  # type: ignore[union-attr]
            yield one["name"], selector, f"{{{{{label}}}}}"


def wrong(where: str, expression: str, legend: str, series: dict[str, frozenset[str]]) -> Iterator[str]:
    """What an expression asks for that is not there."""
    parsed = promql.parse(filled(expression))
    for metric, labels in ((one.metric, one.labels) for one in asked(parsed)):
        if metric not in series:
            yield f"{where}: there is no {metric}"
        elif labels - series[metric]:
            yield f"{where}: {metric} has no {', '.join(sorted(labels - series[metric]))}"
    for aggregation, labels in grouped(parsed):
        within = kept(aggregation.expr, series)
        if labels - within:
            yield f"{where}: nothing in it has {', '.join(sorted(labels - within))}"
    called = set(LEGEND.findall(legend))
    if called - kept(parsed, series):
        yield f"{where}: its series have no {', '.join(sorted(called - kept(parsed, series)))} to be called by"


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_dashboards_ask_for_what_there_is(path: Path) -> None:
    series = recorded()
    found = list(queries(path))
    assert len(found) > 10
    assert [why for where, expression, legend in found for why in wrong(where, expression, legend, series)] == []


def test_rules_ask_for_what_there_is() -> None:
    series = recorded()
    for rule in RULES:
        annotations = rule.get("annotations", {})
        said = " ".join(re.findall(r"\$labels\.(\w+)", annotations.get("summary", "")))
        legend = " ".join(f"{{{{{label}}}}}" for label in said.split())
        assert list(wrong(rule.get("alert", rule.get("record")), rule["expr"], legend, series)) == []


@pytest.mark.parametrize(
    "expression, legend, why",
    [
        ("hookline_no_such_thing", "", "there is no hookline_no_such_thing"),
        ('hookline_hosts{state="failed"}', "", "hookline_hosts has no state"),
        ("sum by (outcome) (hookline_hosts)", "", "nothing in it has outcome"),
        ("sum(hookline_hosts)", "{{status}}", "its series have no status to be called by"),
        ("rate(hookline_hook_duration_seconds[5m])", "", "there is no hookline_hook_duration_seconds"),
    ],
)
def test_a_query_for_what_there_is_not_is_found(expression: str, legend: str, why: str) -> None:
    assert next(wrong("here", expression, legend, recorded())) == f"here: {why}"


def test_the_table_that_queries_are_held_against_is_all_that_there_is() -> None:
    assert Asked("hookline_hosts", frozenset({"status"})) in asked(promql.parse('sum(hookline_hosts{status="failed"})'))
    assert exposed()["hookline_hook_duration_seconds_bucket"] == {"job", "instance", "event", "outcome", "le"}


def test_every_alert_says_what_it_means_and_leads_to_what_is_to_be_done() -> None:
    readme = (DEPLOY / "README.md").read_text()
    anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", readme, re.MULTILINE)}
    uids = {board(path)["uid"] for path in BOARDS}
    alerts = [rule for rule in RULES if "alert" in rule]
    assert len({rule["alert"] for rule in alerts}) == len(alerts)
    for rule in alerts:
        said = rule["annotations"]
        assert rule["labels"]["severity"] in ("page", "ticket", "none")
        assert said["summary"]
        assert said["description"]
        file, _, anchor = said["runbook_url"].partition("#")
        assert file == "deploy/README.md"
        assert anchor == rule["alert"].lower()
        assert anchor in anchors
        assert said["dashboard_url"].removeprefix("/d/") in uids


def test_dashboards_are_what_their_program_writes() -> None:
    ended = subprocess.run((sys.executable, ROOT / "scripts" / "gen-dashboards", "--check"), capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_dashboards_have_what_grafana_and_its_users_rely_on(path: Path) -> None:
    found = board(path)
    assert found["uid"] == path.stem
    assert len(found["uid"]) <= 40
    assert found["refresh"] == ""
    assert found["tags"] == ["hookline"]
    variables = {one["name"]: one for one in found["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert {"application", "group"} <= variables.keys()
    assert {name for name in re.findall(r"\$(\w+)", json.dumps(found)) if not name.startswith("__")} - {"datasource"} <= variables.keys()
    ids = [panel["id"] for panel in found["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in found["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, f"{panel['title']} lies over another panel"
        assert place["x"] + place["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert panel["description"]
            assert panel["type"] in ("timeseries", "stat", "table", "heatmap"), "what Grafana has given up is not used"
            assert panel["fieldConfig"]["defaults"]["unit"]
            named = {target["legendFormat"] != "__auto" for target in panel["targets"]}
            assert panel["type"] != "timeseries" or named == {True}, "a line is called by what it is, not by its labels"


def test_what_provisions_grafana_names_what_there_is() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())
    provider = yaml.safe_load((provisioning / "dashboards" / "hookline.yml").read_text())
    assert [one["type"] for one in source["datasources"]] == ["prometheus"]
    assert [one["type"] for one in provider["providers"]] == ["file"]
    assert provider["providers"][0]["options"]["path"] in (DEPLOY / "README.md").read_text()


@pytest.mark.peer
def test_prometheus_itself_takes_every_query(tmp_path: Path) -> None:
    here = ROOT / ".cache" / "prometheus" / "usr" / "bin" / "promtool"
    promtool = str(here) if here.exists() else shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing; scripts/setup unpacks it")
    found = [expression for path in BOARDS for where, expression, _ in queries(path)]
    rules = [{"record": f"asked:query{number}", "expr": filled(expression)} for number, expression in enumerate(found)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    ended = subprocess.run((promtool, "check", "rules", "--lint=none", file), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
