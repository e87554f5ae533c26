"""An application in this process, asked without a socket: for what no real server is brought to do."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import msgspec


class Answer(NamedTuple):
    """What an application has sent."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


async def ask(
    app: Any, method: str, path: str, headers: dict[str, str] | None = None, client: Any = ("127.0.0.1", 1), **more: Any
) -> Answer:
    """Its answer to a request without a body; ``more`` of the scope."""
    given = {"host": "localhost:8787"} | {name.lower(): value for name, value in (headers or {}).items()}
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": client,
        "server": ("127.0.0.1", 8787),
        "state": {},
    } | more
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = sent[0] if sent else {"status": 0}
    found = {name.decode(): value.decode() for name, value in start.get("headers", ())}
    return Answer(start["status"], found, b"".join(message.get("body", b"") for message in sent[1:]))


def asked(*arguments: Any, **more: Any) -> Answer:
    """The same, where there is no event loop."""
    return asyncio.run(ask(*arguments, **more))
