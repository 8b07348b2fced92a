"""What Alertmanager has told, in SQLite."""

from dataclasses import replace
from pathlib import Path

from coordinator.service.alarms.alerts import Alert
from tests.store.seeds import opened
from tests.store.things import NOW

FIRING = Alert(fingerprint="f1", labels={"alertname": "Down", "severity": "p\u00e4ge"}, starts_at="2027-01-15T08:00:00Z")


async def test_alerts_come_back_as_they_were_told_last(tmp_path: Path) -> None:
    store = await opened(tmp_path / "db")
    other = replace(FIRING, fingerprint="f2", labels={"a": "b"})
    await store.alerts.keep([FIRING, other], forget_before=0)
    await store.alerts.keep([replace(other, ended_at=NOW, starts_at="2027-01-15T09:00:00Z", labels={"a": "c"})], forget_before=0)
    store.close()
    back = await opened(tmp_path / "db")
    found = {one.fingerprint: one for one in await back.alerts.alerts()}
    back.close()
    assert found == {"f1": FIRING, "f2": Alert(fingerprint="f2", labels={"a": "c"}, starts_at="2027-01-15T09:00:00Z", ended_at=NOW)}


async def test_what_ended_long_ago_is_forgotten_and_what_fires_is_not(tmp_path: Path) -> None:
    store = await opened(tmp_path / "db")
    await store.alerts.keep([FIRING, replace(FIRING, fingerprint="f2", ended_at=NOW)], forget_before=0)
    await store.alerts.keep([], forget_before=NOW)
    assert {one.fingerprint for one in await store.alerts.alerts()} == {"f1", "f2"}
    await store.alerts.keep([], forget_before=NOW + 1)
    assert {one.fingerprint for one in await store.alerts.alerts()} == {"f1"}
    store.close()
