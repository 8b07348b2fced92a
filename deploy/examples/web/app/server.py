"""A small web application: says which version it is, and whether it is well."""

import http.server
import os
import pathlib

VERSION = pathlib.Path(__file__).with_name("VERSION").read_text().strip()
BROKEN = pathlib.Path(__file__).with_name("BROKEN").exists()


class Page(http.server.BaseHTTPRequestHandler):
    """Answers every request with the version."""

    def do_GET(self) -> None:
        """200 and the version, or 500 from a version that is broken."""
        body = f"{VERSION} on {os.environ.get('HOOKLINE_HOST', '?')}\n".encode()
        self.send_response(500 if BROKEN else 200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Page).serve_forever()
