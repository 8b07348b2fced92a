"""A small web application: says which version it is, whether it is well, and to Prometheus how many of its answers were errors."""

import http.server
import itertools
import os
import pathlib

HERE = pathlib.Path(__file__)
VERSION = HERE.with_name("VERSION").read_text().strip()
BROKEN = HERE.with_name("BROKEN").exists()
FLAKY = HERE.with_name("FLAKY").exists()
WELL_AT_FIRST = 5
"""Answers after which a flaky version begins to fail: who validates it sees nothing."""

answers = itertools.count()
counted = {"requests": 0, "errors": 0}


class Page(http.server.BaseHTTPRequestHandler):
    """Answers every request with the version."""

    def do_GET(self) -> None:
        """200 and the version; 500 from a version that is broken, and every second time from one that is flaky."""
        if self.path == "/metrics":
            self.answer(200, "".join(f"web_{name}_total {count}\n" for name, count in counted.items()))
            return
        number = next(answers)
        error = BROKEN or (FLAKY and number >= WELL_AT_FIRST and number % 2 == 0)
        counted["requests"] += 1
        counted["errors"] += error
        self.answer(500 if error else 200, f"{VERSION} on {os.environ.get('HOOKLINE_HOST', '?')}\n")

    def answer(self, status: int, text: str) -> None:
        """Say it."""
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Page).serve_forever()
