"""Scrapes as Prometheus does, in a process of its own: told {"port", "rounds"}, answers {"took": seconds each, "size": octets}."""

import http.client
import json
import sys
import time
from typing import Final

OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0"


def scraped(port: int, rounds: int) -> dict[str, object]:
    """How long each scrape took, over one connection, and how large the last answer was."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    took: list[float] = []
    body = b""
    for _ in range(rounds + 1):
        began = time.perf_counter()
        connection.request("GET", "/metrics", headers={"Accept": OPENMETRICS})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, answer.status
        took.append(time.perf_counter() - began)
    return {"took": took[1:], "size": len(body)}


def main() -> None:
    """Do what each line says."""
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(scraped(asked["port"], asked["rounds"])), flush=True)


if __name__ == "__main__":
    main()
