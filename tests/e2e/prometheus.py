"""A real Prometheus and a real Alertmanager on free ports of loopback, and an application whose errors a test decides about."""

import json
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.e2e.cluster import until

UNPACKED = Path(__file__).parents[2] / ".cache" / "prometheus" / "usr" / "bin"

TEMPLATE = Path("/usr/share/prometheus/alertmanager/email.tmpl")
"""Without which Debian's Alertmanager does not start."""


def program(name: str) -> str:
    """Where a program of Debian's packages is; the test is skipped, loudly, where it is not."""
    found = shutil.which(name) or shutil.which(name, path=str(UNPACKED))
    if found is None:
        pytest.skip(f"{name} is not here: scripts/setup says why")
    return found


class Application:
    """Tells Prometheus a ratio of errors."""

    def __init__(self) -> None:
        """Without errors."""
        self.errors = 0.0
        self.errors_of: dict[str, float] = {}
        """Of the hosts that are asked for by name; the others have `errors`."""
        application = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query).get("host", [""])[0]
                body = f"shop_errors_ratio {application.errors_of.get(host, application.errors)}\n".encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Tell nothing more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Monitoring:
    """Prometheus, which scrapes an application every second, and Alertmanager, which calls a webhook; to be used as a context."""

    def __init__(self, directory: Path, *, webhook: str = "", token: str = "") -> None:
        """Without a `webhook` there is no Alertmanager. Nothing runs yet."""
        directory.mkdir()
        self._directory = directory
        self._webhook = webhook
        self._token = token
        self._stack = ExitStack()
        self.application = Application()
        self.scraped: list[Mapping[str, object]] = [{"job_name": "shop", "static_configs": [{"targets": [self.application.address]}]}]
        """What Prometheus is told to scrape when it starts."""
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.url = f"http://{self._reserve_address()}"
        self.alertmanager = f"http://{self._reserve_address()}" if webhook else ""

    def __enter__(self) -> Self:
        self._stack.callback(self.application.close)
        self._stack.callback(self.stop, "prometheus")
        if self._webhook:
            self._stack.callback(self.stop, "alertmanager")
            self._start_alertmanager()
        self.start_prometheus()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def start_prometheus(self) -> None:
        """Start it, or start it again with what it knew."""
        rule = {"alert": "ShopDown", "expr": "shop_errors_ratio > 0.5", "labels": {"severity": "page"}}
        rules = {"groups": [{"name": "shop", "interval": "1s", "rules": [rule]}]}
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": self.scraped, "rule_files": ["rules.json"]}
        if self.alertmanager:
            targets = [{"targets": [self.alertmanager.removeprefix("http://")]}]
            config["alerting"] = {"alertmanagers": [{"static_configs": targets}]}
        self._write("rules.json", rules)
        self._write("prometheus.json", config)
        self._start(
            "prometheus",
            *(program("prometheus"), f"--web.listen-address={self.url.removeprefix('http://')}"),
            *(f"--config.file={self._directory}/prometheus.json", f"--storage.tsdb.path={self._directory}/samples"),
            "--log.level=error",
            ready=f"{self.url}/-/ready",
        )

    def _start_alertmanager(self) -> None:
        if not TEMPLATE.exists():
            pytest.skip(f"{TEMPLATE} is not here: scripts/setup says why")
        receiver = {"url": self._webhook, "http_config": {"authorization": {"credentials": self._token}}}
        config = {
            "route": {"receiver": "hookline", "group_wait": "0s", "group_interval": "1s"},
            "receivers": [{"name": "hookline", "webhook_configs": [receiver]}],
        }
        self._write("alertmanager.json", config)
        self._start(
            "alertmanager",
            *(program("prometheus-alertmanager"), f"--web.listen-address={self.alertmanager.removeprefix('http://')}"),
            *(f"--config.file={self._directory}/alertmanager.json", f"--storage.path={self._directory}/alerts"),
            *("--cluster.listen-address=", "--log.level=error"),
            ready=f"{self.alertmanager}/-/ready",
        )

    def stop(self, name: str) -> None:
        """End one of the two, and wait for it."""
        process = self.processes.pop(name, None)
        if process is not None:
            process.terminate()
            process.wait()

    def value(self, expression: str) -> str | None:
        """What Prometheus says of an expression now; None: nothing."""
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{query}", timeout=10) as answer:
            result = json.load(answer)["data"]["result"]
        return str(result[0]["value"][1]) if result else None

    def _reserve_address(self) -> str:
        """An address that nobody else is given in the context: neither program says which port it chose."""
        reserved = socket.socket()
        self._stack.callback(reserved.close)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{reserved.getsockname()[1]}"

    def _write(self, name: str, content: Mapping[str, object]) -> None:
        (self._directory / name).write_text(json.dumps(content))  # JSON is YAML

    def _start(self, name: str, *command: str, ready: str) -> None:
        with (self._directory / f"{name}.log").open("ab") as log:
            process = self.processes[name] = subprocess.Popen(
                command, cwd=self._directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

        def is_ready() -> bool:
            assert process.poll() is None, (self._directory / f"{name}.log").read_text()
            try:
                with urllib.request.urlopen(ready, timeout=5) as answer:
                    return bool(answer.status == 200)
            except (urllib.error.URLError, OSError):
                return False

        until(is_ready, f"{name} is ready")
