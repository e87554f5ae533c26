"""``TellurioClient``: logging in, requests and their answers, and a key that changes."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest
import requests
from pytest_httpserver import HTTPServer

from steplog import client as client_module
from steplog.client import Account, TellurioClient
from steplog.delivery.exchange import Request
from steplog.errors import ConfigurationError, InvalidAPIKeyError, ServerUnavailableError
from steplog.network.keys import key_path, store_key, stored_key
from steplog.network.response import http_error
from steplog.secret import Secret
from steplog.testing import HostileServer

VERIFY = "/api/v0/verify-api-key/"
ACCOUNT = {"email": "ada@example.org", "username": "ada", "message": "ok"}


@pytest.fixture(autouse=True)
def _own_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "state"))


@pytest.fixture
def client(httpserver: HTTPServer):
    with TellurioClient(httpserver.url_for("")) as made:
        yield made


def knows(httpserver: HTTPServer, key: str) -> None:
    httpserver.expect_request(VERIFY, headers={"Authorization": f"Api-Key {key}"}).respond_with_json(ACCOUNT)
    httpserver.expect_request(VERIFY).respond_with_json({"detail": "Invalid API key."}, status=401)


def kept(client: TellurioClient) -> Secret | None:
    return stored_key(key_path(client.settings.dir), client.base_url)


class TestLogin:
    def test_a_key_that_is_given_names_the_account_and_is_stored_for_the_next_time(self, httpserver, client):
        knows(httpserver, "good")
        assert client.login("good") == Account(username="ada", email="ada@example.org")
        assert client.account == Account("ada", "ada@example.org")
        assert kept(client) == Secret("good")
        assert key_path(client.settings.dir).stat().st_mode & 0o777 == 0o600
        with TellurioClient(httpserver.url_for("")) as later:
            assert later.login().username == "ada"

    def test_a_key_from_the_environment_is_used_and_leaves_no_copy_on_disk(self, httpserver, monkeypatch):
        knows(httpserver, "good")
        monkeypatch.setenv("TELLURIO_API_KEY", "good")
        with TellurioClient(httpserver.url_for("")) as client:
            assert client.login().username == "ada"
            assert kept(client) is None

    def test_the_argument_wins_over_the_environment_over_the_stored_key(self, httpserver, monkeypatch):
        httpserver.expect_request(VERIFY).respond_with_json(ACCOUNT)
        url = httpserver.url_for("").rstrip("/")

        def used(**arguments: str) -> str:
            with TellurioClient(url) as client:
                store_key(key_path(client.settings.dir), url, Secret("stored"))
                client.login(**arguments)
            return httpserver.log[-1][0].headers["Authorization"]

        assert used() == "Api-Key stored"
        monkeypatch.setenv("TELLURIO_API_KEY", "theirs")
        assert used() == "Api-Key theirs"
        monkeypatch.setenv("STEPLOG_API_KEY", "ours")
        assert used() == "Api-Key ours"
        assert used(api_key="given") == "Api-Key given"

    def test_a_wrong_key_is_refused_in_the_words_that_users_know_and_is_not_stored(self, httpserver, client):
        knows(httpserver, "good")
        with pytest.raises(InvalidAPIKeyError, match=r"^Login failed due to invalid API key\.$"):
            client.login("wrong")
        assert (client.account, kept(client)) == (None, None)
        assert client.login("good").username == "ada"

    def test_a_wrong_key_does_not_replace_the_one_that_was_good(self, httpserver, client):
        knows(httpserver, "good")
        client.login("good")
        with pytest.raises(InvalidAPIKeyError):
            client.login("wrong", relogin=True)
        assert kept(client) == Secret("good")
        httpserver.expect_request("/x/", headers={"Authorization": "Api-Key good"}).respond_with_data("")
        assert client.get("/x/").status_code == 200

    def test_logging_in_again_needs_a_key(self, client):
        with pytest.raises(ValueError, match=r"^API key is required for re-login\.$"):
            client.login(relogin=True)

    def test_a_client_that_is_logged_in_does_not_ask_again_unless_told_to(self, httpserver, client):
        knows(httpserver, "good")
        for _ in range(3):
            client.login("good")
            client.login()
        assert len(httpserver.log) == 1
        client.login("good", relogin=True)
        assert len(httpserver.log) == 2

    def test_without_a_key_anywhere_it_says_how_to_give_one(self, client):
        with pytest.raises(ConfigurationError, match="no API key: set STEPLOG_API_KEY, or type: steplog login"):
            client.login()
        with pytest.raises(ValueError, match="no API key"):
            client.get("/x/")

    @pytest.mark.parametrize(
        ("status", "body", "error", "words"),
        [
            (403, "{}", InvalidAPIKeyError, "Login failed"),
            (302, "", ConfigurationError, "redirect"),
            (404, '{"detail": "Not found."}', requests.HTTPError, "404 for GET /api/v0/verify-api-key/: Not found."),
            (500, "<html>", requests.HTTPError, "500 for GET /api/v0/verify-api-key/: Internal Server Error"),
            (
                200,
                "<html>Log in to the wireless network</html>",
                ServerUnavailableError,
                "not the answer of a run server",
            ),
            (200, "[]", ServerUnavailableError, "not the answer"),
            (200, '{"username": "ada"}', ServerUnavailableError, "not the answer"),
        ],
    )
    def test_what_is_no_login_is_none(self, httpserver, client, status, body, error, words):
        httpserver.expect_request(VERIFY).respond_with_data(body, status=status, headers={"Location": "/elsewhere"})
        with pytest.raises(error, match=words):
            client.login("some-key")
        assert (client.account, kept(client)) == (None, None)

    def test_a_state_directory_that_cannot_be_written_is_said_and_the_login_counts(
        self, httpserver, client, tmp_path, caplog
    ):
        knows(httpserver, "good")
        (tmp_path / "state").write_text("a file where the directory should be")
        assert client.login("good").username == "ada"
        assert "could not be stored" in caplog.text


class TestRequests:
    @pytest.fixture(autouse=True)
    def _key(self, monkeypatch):
        monkeypatch.setenv("STEPLOG_API_KEY", "good")

    def test_each_method_sends_its_json_and_returns_the_answer_of_requests(self, httpserver, monkeypatch):
        for method in ("GET", "POST", "PATCH", "DELETE"):
            httpserver.expect_request("/x/", method=method).respond_with_json({"did": method}, status=203)
        with TellurioClient(httpserver.url_for("")) as client:
            answers = [
                client.get("/x/"),
                client.post("/x/", json={"a": "é"}),
                client.patch("/x/", {"b": 1}),
                client.delete("/x/"),
            ]
        assert all(isinstance(got, requests.Response) for got in answers)
        assert [got.json()["did"] for got in answers] == ["GET", "POST", "PATCH", "DELETE"]
        assert [got.status_code for got in answers] == [203] * 4
        sent = [request for request, _ in httpserver.log]
        assert json.loads(sent[1].get_data()) == {"a": "é"}
        assert sent[1].headers["Content-Type"] == "application/json"
        assert json.loads(sent[2].get_data()) == {"b": 1}
        assert sent[0].get_data() == sent[3].get_data() == b""

    @pytest.mark.parametrize("content_type", ["text/plain", "text/html; charset=utf-16", "application/json", ""])
    @pytest.mark.parametrize("status", [200, 204, 302, 404])
    def test_an_answer_is_the_one_that_requests_would_give(self, httpserver, status, content_type):
        headers = {"Content-Type": content_type, "Location": "/y/", "X-Mark": "é", "Link": '</y/>; rel="next"'}
        httpserver.expect_request("/x/y z").respond_with_data("é" * (status != 204), status=status, headers=headers)
        url = httpserver.url_for("").rstrip("/")
        theirs = requests.post(f"{url}/x/y z?a=é#b", json={}, allow_redirects=False, timeout=5)
        with TellurioClient(url) as client:
            ours = client.post("/x/y z?a=é#b", {})
        for name in ("status_code", "reason", "url", "encoding", "content", "text", "ok", "is_redirect", "links"):
            assert getattr(ours, name) == getattr(theirs, name), name
        told = {name.lower(): value for name, value in theirs.headers.items()}
        assert {**ours.headers, "date": ""} == {**told, "date": ""}
        assert (ours.headers["x-MARK"], ours.request.method) == (theirs.headers["x-MARK"], "POST")
        assert (ours.request.url, ours.request.body, ours.history) == (theirs.request.url, theirs.request.body, [])

    def test_a_refusal_is_an_answer_whose_error_has_the_words_of_the_server(self, httpserver):
        httpserver.expect_request("/x/").respond_with_json(
            {"visibility": ['"ALL" is not a valid choice.'], "detail": "no\x1b[31m\ngood"}, status=400
        )
        with TellurioClient(httpserver.url_for("")) as client:
            got = client.post("/x/", {})
        assert got.ok is False
        error = http_error(got)
        assert str(error) == '400 for POST /x/: visibility: "ALL" is not a valid choice.; no [31m good'
        assert error.response is got
        with pytest.raises(requests.HTTPError, match="400"):
            got.raise_for_status()

    @pytest.mark.parametrize("body", [b"<html>", b"[" * 100_000, b"\xff", b"", b'{"detail": null}'])
    def test_a_refusal_without_words_has_those_of_its_status(self, httpserver, body):
        httpserver.expect_request("/x/").respond_with_data(body, status=404)
        with TellurioClient(httpserver.url_for("")) as client:
            assert str(http_error(client.get("/x/"))) == "404 for GET /x/: Not Found"

    def test_the_words_of_a_server_are_bounded(self, httpserver):
        httpserver.expect_request("/x/").respond_with_json({"detail": "no " * 10_000}, status=400)
        with TellurioClient(httpserver.url_for("")) as client:
            assert len(str(http_error(client.get("/x/")))) < 600

    @pytest.mark.parametrize("value", [float("nan"), {1, 2}, object(), [float("inf")]])
    def test_what_is_not_json_is_refused_before_anything_is_sent(self, httpserver, value):
        with TellurioClient(httpserver.url_for("")) as client, pytest.raises(ValueError, match="not JSON"):
            client.post("/x/", value)
        assert httpserver.log == []

    @pytest.mark.parametrize("endpoint", ["x/", "https://elsewhere.example/", ""])
    def test_an_endpoint_is_a_path(self, client, endpoint):
        with pytest.raises(ValueError, match="begins with '/'"):
            client.get(endpoint)

    def test_the_time_of_a_call_is_bounded_by_the_setting_or_the_argument(self, monkeypatch):
        monkeypatch.setenv("STEPLOG_EXCHANGE_TIMEOUT_S", "0.2")
        with HostileServer(lambda peer: (peer.request(), peer.hold())) as server, TellurioClient(server.url) as client:
            with pytest.raises(ServerUnavailableError, match=r"timed out after 0\.2 s"):
                client.get("/x/")
            with pytest.raises(ConnectionError, match=r"timed out after 0\.1 s"):
                client.get("/x/", timeout_s=0.1)

    def test_a_long_list_comes_home_whole(self, httpserver):
        rows = [{"name": "loss", "value": index, "step": index} for index in range(20_000)]
        httpserver.expect_request("/x/").respond_with_json(rows)
        with TellurioClient(httpserver.url_for("")) as client:
            assert client.get("/x/").json() == rows

    def test_a_download_without_end_is_an_error_in_words(self, monkeypatch):
        monkeypatch.setattr(client_module, "_DOWNLOAD_BYTES_MAX", 1024 * 1024)
        with HostileServer(endless) as server, TellurioClient(server.url) as client:
            with pytest.raises(ServerUnavailableError, match="the answer is longer than 1 MiB; ask for a part of it"):
                client.get("/x/")
            assert len(client.patch("/x/").content) == 64 * 1024


def endless(peer):
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        peer.send(b"[" * 65536)


INIT = """
import re, sys
from pathlib import Path
import steplog
# VmHWM is this program's; ru_maxrss begins with that of the process that started it.
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
run = steplog.init(project="p")
begun = peak()
run.log("loss", 1.0)
run.finish(timeout=2)
print(begun, peak())
"""


@pytest.mark.slow
def test_a_server_that_answers_without_end_does_not_fill_the_memory_at_init(tmp_path):
    """It took 800 MiB of a training process."""
    with HostileServer(endless) as server:
        environment = os.environ | {
            "STEPLOG_URL": server.url,
            "STEPLOG_DIR": str(tmp_path),
            "STEPLOG_API_KEY": "k" * 20,
        }
        done = subprocess.run(
            [sys.executable, "-c", INIT], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 0, done
    begun, ended = map(int, done.stdout.split())
    assert begun < 100
    assert ended < 200


class TestAddress:
    def test_base_url_and_port_make_the_address(self):
        assert TellurioClient("http://localhost", 8000).base_url == "http://localhost:8000"
        assert TellurioClient("http://localhost", "8000").base_url == "http://localhost:8000"
        assert TellurioClient("https://runs.example/", 443).base_url == "https://runs.example"
        assert TellurioClient(port=8443).base_url == "https://platform.tellurio.ai:8443"
        assert TellurioClient().base_url == "https://platform.tellurio.ai"

    @pytest.mark.parametrize(("url", "port"), [("http://localhost:1", 2), ("runs.example", None), ("https://a", "x")])
    def test_what_is_no_address_is_a_configuration_error(self, url, port):
        with pytest.raises(ConfigurationError, match="address"):
            TellurioClient(url, port)

    def test_its_text_names_the_server_and_the_account(self, httpserver, client):
        knows(httpserver, "good")
        assert repr(client) == f"TellurioClient({client.base_url!r})"
        client.login("good")
        assert repr(client) == f"TellurioClient({client.base_url!r}, 'ada')"


class TestRotation:
    def test_after_a_refusal_another_key_is_found_in_the_environment_or_the_key_file(self, httpserver, monkeypatch):
        httpserver.expect_request("/x/", headers={"Authorization": "Api-Key new"}).respond_with_data("")
        httpserver.expect_request("/x/").respond_with_data("", status=401)
        monkeypatch.setenv("STEPLOG_API_KEY", "old")
        with TellurioClient(httpserver.url_for("")) as client:
            assert client.get("/x/").status_code == 401
            assert client.transport.refresh_key() is False
            store_key(key_path(client.settings.dir), client.base_url, Secret("new"))
            assert client.transport.refresh_key() is True
            assert client.get("/x/").status_code == 200
            monkeypatch.setenv("STEPLOG_API_KEY", "newer")
            assert client.refresh_key() is True

    def test_what_a_refused_exchange_has_found_needs_no_file_any_more(self, httpserver, monkeypatch):
        """The key file was read under the agent's lock: a home directory that stalls held up every run."""
        httpserver.expect_request("/x/").respond_with_data("", status=401)
        monkeypatch.setenv("STEPLOG_API_KEY", "old")
        with TellurioClient(httpserver.url_for("")) as client:
            path = key_path(client.settings.dir)
            assert client.transport.exchange(Request("GET", "/x/"), 5.0).status == 401
            store_key(path, client.base_url, Secret("new"))
            assert client.transport.refresh_key() is False
            assert client.transport.exchange(Request("GET", "/x/"), 5.0).status == 401
            path.unlink()
            assert client.transport.refresh_key() is True

    def test_a_key_that_cannot_be_sent_is_said_and_not_taken(self, client, monkeypatch, caplog):
        caplog.set_level(logging.WARNING)
        monkeypatch.setenv("STEPLOG_API_KEY", "two words")
        assert client.refresh_key() is False
        assert "environment STEPLOG_API_KEY" in caplog.text
        assert "two words" not in caplog.text
