"""The client that is used where none is passed, and the server that is found where nothing is configured."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from steplog import client as clients
from steplog import instance
from steplog.client import TellurioClient, client_for, find_local, get_default_client, is_configured
from steplog.errors import ConfigurationError
from steplog.network.keys import key_path, store_key
from steplog.secret import Secret
from steplog.settings import resolve
from steplog.testing import HostileServer

VERIFY = "/api/v0/verify-api-key/"
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


def local(httpserver: HTTPServer, answer=None) -> instance.Instance:
    """A state file of a server, and a server that proves itself, or answers otherwise."""

    def proves(request: Request) -> Response:
        nonce = request.args["nonce"]
        told = {"instance": "i-1", "proof": instance.proof(SECRET, nonce)}
        return Response(answer(told) if answer else instance.msgspec.json.encode(told))

    httpserver.expect_request("/api/v0/instance/").respond_with_handler(proves)
    found = instance.Instance("i-1", httpserver.url_for("").rstrip("/"), SECRET, KEY, "ada")
    instance.write(instance.state_path(), found)
    return found


class TestLocal:
    def test_a_server_that_proves_itself_is_found_and_only_then_sent_the_key(self, httpserver):
        local(httpserver)
        httpserver.expect_request(VERIFY).respond_with_json({"email": "", "username": "ada"})
        found = find_local()
        assert found is not None
        assert found.base_url == httpserver.url_for("").rstrip("/")
        assert "Authorization" not in httpserver.log[0][0].headers
        assert found.login().username == "ada"
        assert httpserver.log[1][0].headers["Authorization"] == f"Api-Key {KEY}"

    def test_each_challenge_is_a_new_one(self, httpserver):
        local(httpserver)
        for _ in range(2):
            find_local()
        first, second = (request.args["nonce"] for request, _ in httpserver.log)
        assert first != second
        assert len(first) >= 32

    @pytest.mark.parametrize(
        "answer",
        [
            lambda told: b'{"instance": "i-1", "proof": "%s"}' % (b"0" * 64),
            lambda told: instance.msgspec.json.encode({**told, "instance": "i-2"}),
            lambda told: b'{"instance": "i-1"}',
            lambda told: '{"instance": "i-1", "proof": "é"}'.encode(),
            lambda told: b'{"instance": "i-1", "proof": "\\ud800"}',
            lambda told: b"<html>",
            lambda told: b"",
            lambda told: b"[" * 100_000,
        ],
    )
    def test_one_that_does_not_is_never_sent_the_key(self, httpserver, answer):
        local(httpserver, answer)
        assert find_local() is None
        assert KEY not in "".join(str(request.headers) for request, _ in httpserver.log)

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

    def test_where_nothing_is_configured_the_local_server_is_found_or_it_says_what_to_do(self, httpserver):
        assert not is_configured(resolve())
        with pytest.raises(ConfigurationError, match="type: steplog serve, or: steplog login"):
            get_default_client()
        local(httpserver)
        assert get_default_client().base_url == httpserver.url_for("").rstrip("/")

    @pytest.mark.parametrize(
        "environ",
        [{"STEPLOG_URL": "https://runs.example"}, {"TELLURIO_API_KEY": "k"}, {"TELLURIO_BACKEND_HTTP_PORT": "1"}],
    )
    def test_a_server_or_a_key_is_a_configuration_and_the_local_server_is_not_asked(
        self, httpserver, monkeypatch, environ
    ):
        local(httpserver)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        assert is_configured(resolve())
        assert get_default_client().base_url != httpserver.url_for("").rstrip("/")
        assert httpserver.log == []

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

    def test_the_local_server_gets_its_own(self, httpserver):
        found = local(httpserver)
        settings = resolve(url="https://one.example", api_key="one")
        made = client_for(settings, found.base_url)
        assert made is not None
        assert made.base_url == found.base_url
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
