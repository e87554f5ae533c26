"""Every answer has the id of its request, and what went wrong is logged with it."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from server.asgi import asked
from server.process import ServerProcess
from steplog.delivery.wire import API
from steplog.server.access import AllowedHosts
from steplog.server.app import create_app
from steplog.server.keys import Keyring
from steplog.server.observing import ObservingMiddleware
from steplog.server.open_store import open_store
from steplog.server.protocol import CONNECTION
from steplog.server.seen_request import SeenRequest
from steplog.server.service import Service

MADE = re.compile(r"[0-9a-f]{16}")


def test_every_answer_has_the_id_that_its_request_came_with(server):
    for path, headers, status in (
        (f"{API}/verify-api-key/", {}, 200),
        (f"{API}/verify-api-key/", {"Authorization": "Api-Key wrong"}, 401),
        (f"{API}/verify-api-key/", {"Host": "evil.example"}, 400),
        (f"{API}/nowhere/", {}, 404),
        (f"{API}/verify-api-key", {}, 301),
        ("/", {}, 200),
        ("/healthz", {}, 200),
    ):
        answer = server.session.get(
            f"{server.url}{path}", headers=headers | {"X-Request-Id": "of-the.proxy_1"}, allow_redirects=False
        )
        assert (path, answer.status_code, answer.headers["X-Request-Id"]) == (path, status, "of-the.proxy_1")


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 65, "a\tb", "<script>", 'a"b', "ü"])
def test_an_id_that_is_missing_or_not_sane_is_made_anew(server, given):
    headers = {} if given is None else {"X-Request-Id": given.encode()}
    ids = {server.ask("GET", "/verify-api-key/", headers=headers).headers["X-Request-Id"] for _ in range(2)}
    assert len(ids) == 2
    assert all(MADE.fullmatch(each) for each in ids)


def test_the_answer_to_what_is_the_servers_fault_has_the_id_in_its_body(tmp_path):
    with ServerProcess(tmp_path) as server:
        server.database.rename(tmp_path / "away.db")
        for path, key in (("/namespaces/", {}), ("/namespaces/", {"Authorization": "Api-Key unknown"})):
            answer = server.ask("GET", path, headers=key)
            assert (answer.status_code, set(answer.json())) == (503, {"detail", "request_id"})
            assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
            assert (str(tmp_path) in answer.text) == (not key), "a path is for those who have shown a key"


def test_what_nothing_answers_is_answered_500_and_logged_once_with_its_id(tmp_path, caplog):
    store = open_store(tmp_path / "server.db")
    try:
        app = create_app(store, Keyring(store), hosts=AllowedHosts(8787), secret="s")
        app.state.steplog = SimpleNamespace()  # has no secret to prove
        answer = asked(app, "GET", f"{API}/instance/", {"X-Request-Id": "mine"}, query_string=b"nonce=x")
    finally:
        store.close()
    assert answer.status == 500
    assert answer.json() == {"detail": "Internal server error.", "request_id": "mine"}
    assert answer.headers["x-request-id"] == "mine"
    (record,) = caplog.records
    assert (record.name, record.levelname, record.message) == ("steplog.server", "ERROR", f"{API}/instance/ failed")
    assert record.request_id == "mine"
    assert record.exc_info[0] is AttributeError


class Connection:
    dropped = 0

    def drop(self) -> None:
        self.dropped += 1


def test_an_answer_that_fails_after_its_beginning_is_broken_off(caplog):
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError

    seen: list[SeenRequest] = []
    app, connection = ObservingMiddleware(failing, {}, Service(observers=[seen.append])), Connection()
    assert asked(app, "GET", "/", state={CONNECTION: connection}).status == 200
    assert connection.dropped == 1
    assert [record.message for record in caplog.records] == ["none failed"]
    assert [(each.status, each.route) for each in seen] == [(200, "none")]
