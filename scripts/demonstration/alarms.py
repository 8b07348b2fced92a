"""`scripts/demo --alarms`: a revision whose errors only Prometheus sees, and how the fleet goes back by itself."""

import datetime
import json
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from scripts.demonstration.processes import ROOT, Scene
from scripts.demonstration.story import Demo, DemoFailed

PROMETHEUS: Final = ROOT / ".cache" / "prometheus" / "usr" / "bin" / "prometheus"
VISITS_A_SECOND: Final = 30
BAKE: Final = 15
EXPRESSION: Final = "sum(rate(web_errors_total[5s])) / sum(rate(web_requests_total[5s]))"


class AlarmDemo(Demo):
    """The same machines, and somebody who looks at what they serve."""

    def __init__(self, scene: Scene) -> None:
        """`scene` is an empty directory."""
        super().__init__(scene)
        self.prometheus = f"127.0.0.1:{self.scene.reserve_port()}"

    def play(self) -> None:
        """Everything, in order."""
        found = shutil.which("prometheus") or (str(PROMETHEUS) if PROMETHEUS.exists() else None)
        if found is None:
            raise DemoFailed("there is no Prometheus here, and scripts/setup could not download one; install the package prometheus")
        self.start_coordinator("--prometheus", f"http://{self.prometheus}")
        self.join_hosts()
        self.start_agents(WARM_UP="2")
        self.start_prometheus(found)
        self.say("An application on all hosts, visitors who read it, and Prometheus, which counts their errors every second.")
        self.hookline("app", "create", "web")
        self.hookline("group", "create", "web", "production", "--tag", "role=web")
        self.deploy(self.push("v1"), "--config", "CodeDeployDefault.AllAtOnce")
        with self.visitors():
            self.say(f"An alarm: more than 5 % of the answers are errors. The group watches it, and for {BAKE} s after the last host.")
            self.hookline("alarm", "create", "HighErrors", "--promql", EXPRESSION, "--above", "0.05", "--interval", "1s")
            self.wait_for("the first visitors to be counted", self._counted)
            self.hookline("alarm", "test", "HighErrors")
            self.hookline(
                *("group", "update", "web", "production", "--alarm", "HighErrors", "--bake", f"{BAKE}s"),
                *("--auto-rollback", "failure,alarm"),
            )
            self.say("v2 passes its ValidateService on every host, and then fails every second visitor. Nobody does anything about it.")
            self.deploy(self.push("v2", flaw="FLAKY"), expected=1)
            failed, back = self._deployments()
        self.say("What the history remembers:")
        self.hookline("history", "--app", "web")
        self.tell_times(failed, back)
        self.check_web("v1")

    def start_prometheus(self, program: str) -> None:
        """It asks every host's application once a second."""
        targets = [f"127.0.0.1:{port}" for port in self.ports.values()]
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [{"job_name": "web", "static_configs": [{"targets": targets}]}]}
        directory = self.scene.directory / "prometheus"
        directory.mkdir()
        (directory / "prometheus.json").write_text(json.dumps(config))
        self.scene.start(
            "prometheus",
            *(program, f"--web.listen-address={self.prometheus}", f"--config.file={directory}/prometheus.json"),
            *(f"--storage.tsdb.path={directory}/samples", "--log.level=warn"),
        )
        self.wait_for("Prometheus", lambda: self._asks("/-/ready") is not None)

    @contextmanager
    def visitors(self) -> Iterator[None]:
        """Somebody reads a page of some host thirty times a second."""
        gone = threading.Event()

        def visit() -> None:
            turn = 0
            while not gone.wait(1 / VISITS_A_SECOND):
                port = list(self.ports.values())[turn % len(self.ports)]
                turn += 1
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
                except OSError:
                    pass  # an error, or the host is being deployed to: Prometheus counts it, or nobody does

        visiting = threading.Thread(target=visit, daemon=True)
        visiting.start()
        try:
            yield
        finally:
            gone.set()
            visiting.join()

    def wait_for(self, what: str, there: Callable[[], bool]) -> None:
        """Until something is there. Raises DemoFailed."""
        deadline = time.monotonic() + 30
        while not there():
            if time.monotonic() > deadline:
                raise DemoFailed(f"cannot go on: {what} did not come; see {self.scene.directory / 'logs'}")
            time.sleep(0.2)

    def tell_times(self, failed: str, back: str) -> None:
        """How long everything took, by the coordinator's own history."""
        entries = [entry for one in (failed, back) for entry in self._asked("history", "--deployment", one)]
        when = {
            (entry["deployment_id"], entry["entry"]): datetime.datetime.fromisoformat(entry["time"]).timestamp()
            for entry in sorted(entries, key=lambda entry: str(entry["time"]), reverse=True)
            if not entry.get("host_name")
        }
        seen = when[failed, "Stopping"]
        self.say("How long it took:")
        for what, seconds in (
            ("from the first host with v2 to the alarm", seen - when[failed, "InProgress"]),
            ("from the alarm to the first host that rolls back", when[back, "InProgress"] - seen),
            ("from the alarm to the whole fleet on v1", when[back, "Succeeded"] - seen),
        ):
            print(f"  {what:<52} {seconds:6.1f} s")

    def _deployments(self) -> tuple[str, str]:
        """The deployment that an alarm has stopped, and its rollback."""
        newest = self._asked("deployments", "web", "production")
        for one in newest:
            if back := one.get("rollback_info", {}).get("rollback_deployment_id"):
                return one["deployment_id"], back
        raise DemoFailed("v2 was not rolled back")

    def _asked(self, *words: str) -> list[dict[str, Any]]:
        """What a command says as JSON."""
        said = subprocess.run(self.command("--output", "json", *words), env=self.environment(), stdout=subprocess.PIPE, check=True).stdout
        found: list[dict[str, Any]] = json.loads(said)
        return found

    def _counted(self) -> bool:
        said = self._asks(f"/api/v1/query?query={urllib.parse.quote(EXPRESSION)}")
        return said is not None and bool(json.loads(said)["data"]["result"])

    def _asks(self, path: str) -> bytes | None:
        try:
            with urllib.request.urlopen(f"http://{self.prometheus}{path}", timeout=5) as answer:
                body: bytes = answer.read()
                return body
        except OSError:
            return None
