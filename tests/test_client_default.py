"""The client that is used where none is passed, and the server that is found where nothing is configured."""

from __future__ import annotations

import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from steplog import client as clients
from steplog import instance
from steplog.client import TellurioClient, client_for, find_local, get_default_client, is_configured
from steplog.errors import ConfigurationError
from steplog.network.keys import key_path, store_key
from steplog.secret import Secret
from steplog.settings import resolve
from steplog.testing import HostileServer, Peer, answer

VERIFY = "/api/v0/verify-api-key/"
INSTANCE = "/api/v0/instance/"
SECRET = "s" * 32
KEY = "key-of-the-local-server"


@pytest.fixture(autouse=True)
def _own_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def _close_what_was_made():
    yield
    while clients._clients:
        clients._clients.popitem()[1].close()


class Embedded:
    """A server of 0.1, which keeps connections open and has a state file and neither lock nor socket."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []  # path with query, Authorization
        self.answer = msgspec.json.encode
        self._server = HostileServer(self._serve)
        self.url = self._server.url

    def announce(self, answer=None) -> None:
        """Write the state file; the server proves itself, or answers what ``answer`` makes of the proof."""
        self.answer = answer or msgspec.json.encode
        instance.write(instance.state_path(), instance.Instance("i-1", self.url, SECRET, KEY, "ada"))

    def close(self) -> None:
        self._server.__exit__(None, None, None)

    def _serve(self, peer: Peer) -> None:
        while True:
            head = peer.request().decode("latin-1")
            path = head.split()[1]
            found = re.search(r"^authorization: (.*)\r$", head, re.IGNORECASE | re.MULTILINE)
            self.asked.append((path, found[1] if found else None))
            told: dict[str, str] = {"email": "", "username": "ada"}
            if path.startswith(INSTANCE):
                told = {"instance": "i-1", "proof": instance.proof(SECRET, path.partition("nonce=")[2])}
            peer.send(answer(200, self.answer(told)))


@pytest.fixture
def embedded() -> Iterator[Embedded]:
    server = Embedded()
    yield server
    server.close()


class TestLocal:
    def test_a_server_that_proves_itself_is_found_and_only_then_sent_the_key(self, embedded):
        embedded.announce()
        found = find_local()
        assert found is not None
        assert found.base_url == embedded.url
        assert [key for _, key in embedded.asked] == [None]
        assert found.login().username == "ada"
        assert embedded.asked[-1] == (VERIFY, f"Api-Key {KEY}")
        assert [key for _, key in embedded.asked[:-1]] == [None] * (len(embedded.asked) - 1)

    def test_each_new_connection_asks_for_a_proof_before_the_key_goes_over_it(self, embedded):
        """Discovery asked once: whoever had the port after the server died got the key with the next request."""
        embedded.announce()
        found = find_local()
        assert found is not None
        for _ in range(2):
            assert found.get(VERIFY).status_code == 200
            found.close()
        asked = [(path.partition("?")[0], key is not None) for path, key in embedded.asked]
        assert asked == [(INSTANCE, False)] + [(INSTANCE, False), (VERIFY, True)] * 2

    def test_each_challenge_is_a_new_one(self, embedded):
        embedded.announce()
        for _ in range(2):
            find_local()
        first, second = (path.partition("nonce=")[2] for path, _ in embedded.asked)
        assert first != second
        assert len(first) >= 32

    @pytest.mark.parametrize(
        "answer",
        [
            lambda told: b'{"instance": "i-1", "proof": "%s"}' % (b"0" * 64),
            lambda told: msgspec.json.encode({**told, "instance": "i-2"}),
            lambda told: b'{"instance": "i-1"}',
            lambda told: '{"instance": "i-1", "proof": "é"}'.encode(),
            lambda told: b'{"instance": "i-1", "proof": "\\ud800"}',
            lambda told: b"<html>",
            lambda told: b"",
            lambda told: b"[" * 100_000,
        ],
    )
    def test_one_that_does_not_is_never_sent_the_key(self, embedded, answer):
        embedded.announce(answer)
        assert find_local() is None
        assert [key for _, key in embedded.asked] == [None]

    @pytest.mark.slow
    def test_a_port_that_nobody_or_someone_silent_has_is_left_within_its_time(self):
        with HostileServer(lambda peer: peer.hold()) as server:
            instance.write(instance.state_path(), instance.Instance("i-1", server.url, SECRET, KEY, "ada"))
            assert find_local() is None
        assert find_local() is None

    @pytest.mark.parametrize("url", ["https://elsewhere.example", "http://10.0.0.1:80", "nonsense", ""])
    def test_a_state_file_leads_to_this_machine_only(self, url):
        instance.write(instance.state_path(), instance.Instance("i-1", url, SECRET, KEY, "ada"))
        assert find_local() is None

    def test_without_a_state_file_there_is_none(self):
        assert find_local() is None


class TestDefault:
    def test_it_is_one_a_process_and_settings(self, monkeypatch):
        monkeypatch.setenv("STEPLOG_API_KEY", "one")
        first = get_default_client()
        assert get_default_client() is first
        monkeypatch.setenv("STEPLOG_API_KEY", "two")
        assert get_default_client() is not first
        assert get_default_client(resolve(url="https://runs.example")).base_url == "https://runs.example"

    def test_where_nothing_is_configured_the_local_server_is_found_or_it_says_what_to_do(self, embedded):
        assert not is_configured(resolve())
        with pytest.raises(ConfigurationError, match="type: steplog serve, or: steplog login"):
            get_default_client()
        embedded.announce()
        assert get_default_client().base_url == embedded.url

    @pytest.mark.parametrize(
        "environ",
        [{"STEPLOG_URL": "https://runs.example"}, {"TELLURIO_API_KEY": "k"}, {"TELLURIO_BACKEND_HTTP_PORT": "1"}],
    )
    def test_a_server_or_a_key_is_a_configuration_and_the_local_server_is_not_asked(
        self, embedded, monkeypatch, environ
    ):
        embedded.announce()
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        assert is_configured(resolve())
        assert get_default_client().base_url != embedded.url
        assert embedded.asked == []

    def test_a_stored_key_is_a_configuration(self):
        settings = resolve()
        store_key(key_path(settings.dir), settings.url, Secret("k"))
        assert is_configured(settings)

    def test_login_with_a_key_makes_the_default_client(self, httpserver, monkeypatch):
        httpserver.expect_request(VERIFY).respond_with_json({"email": "a@b", "username": "ada"})
        monkeypatch.setenv("STEPLOG_URL", httpserver.url_for(""))
        assert clients.login("a-key").username == "ada"
        assert get_default_client().account == clients.login()
        assert len(httpserver.log) == 1

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
    def test_a_forked_child_has_one_of_its_own(self, monkeypatch):
        monkeypatch.setenv("STEPLOG_API_KEY", "one")
        parents = id(get_default_client())
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply(_default_id) != parents


def _default_id() -> int:
    return id(get_default_client())


class TestEarlierRuns:
    """Which key may be sent to the server that an earlier run names."""

    def test_the_configured_key_goes_to_the_configured_server_alone(self):
        settings = resolve(url="https://one.example", api_key="one")
        made = client_for(settings, "https://ONE.example:443/")
        assert made is not None
        assert made.base_url == "https://one.example"
        assert client_for(settings, "https://two.example") is None

    def test_another_server_gets_the_key_that_was_stored_for_it(self, httpserver):
        url = httpserver.url_for("").rstrip("/")
        settings = resolve(url="https://one.example", api_key="one")
        store_key(key_path(settings.dir), url, Secret("two"))
        httpserver.expect_request("/x/", headers={"Authorization": "Api-Key two"}).respond_with_data("")
        made = client_for(settings, url)
        assert made is not None
        assert made.get("/x/").status_code == 200

    def test_the_local_server_gets_its_own(self, embedded):
        embedded.announce()
        settings = resolve(url="https://one.example", api_key="one")
        made = client_for(settings, embedded.url)
        assert made is not None
        assert made.base_url == embedded.url
        assert made.get(VERIFY).status_code == 200
        assert embedded.asked[-1] == (VERIFY, f"Api-Key {KEY}")
        assert client_for(settings, "https://two.example") is None

    @pytest.mark.parametrize("url", ["", "nonsense", "https://a b"])
    def test_what_is_no_address_has_none(self, url):
        assert client_for(resolve(api_key="one"), url) is None

    def test_a_key_that_cannot_be_sent_is_none(self):
        assert client_for(resolve(api_key="two words"), resolve().url) is None


def test_the_client_is_imported_without_requests():
    program = (
        "import sys, steplog.client, steplog.project; sys.exit('requests' in sys.modules or 'urllib3' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_client_in_a_with_block_closes_its_connections(httpserver):
    httpserver.expect_request("/x/").respond_with_data("")
    with TellurioClient(httpserver.url_for(""), settings=resolve(api_key="k")) as client:
        client.get("/x/")
    assert client.get("/x/").status_code == 200
    client.close()
