"""A server that nothing of a page may reach."""

from __future__ import annotations

import http.server


class Canary(http.server.BaseHTTPRequestHandler):
    """Notes each visit."""

    visited: list[str] = []  # noqa: RUF012 - the class's own

    def do_GET(self) -> None:
        self.visited.append(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
