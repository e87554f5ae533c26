"""A browser signs in for a session of two secrets, which is worth nothing to anybody else and ends when it should."""

from __future__ import annotations

import http.client
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from certificates import make_authority
from polling import wait_until
from server.process import DEADLINE_S, KEY, ServerProcess
from steplog import instance
from steplog.server import keys
from steplog.server.open_store import open_store
from steplog.server.store import Store
from steplog.server.store_types import KeyTerms

SESSION = "/api/v0/session/"
READ = "/api/v0/namespaces/"
NOBODY = {"user": None, "role": None, "expires": None}


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: Any


class Tab:
    """A browser's tab at a server: keeps its cookies, as a browser does, and what the page keeps."""

    def __init__(self, server: ServerProcess) -> None:
        self.url = server.url
        self.cookies: dict[str, str] = {}
        self.binding = ""

    @property
    def origin(self) -> dict[str, str]:
        return {"Origin": self.url}

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """A request of the page; a header that is "" is left out."""
        host = self.url.partition("://")[2]
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        sent |= {"Steplog-Binding": self.binding, "Sec-Fetch-Site": "same-origin"} | self.origin
        sent |= {"Content-Type": "application/json"} | {name.replace("_", "-"): each for name, each in headers.items()}
        with closing(http.client.HTTPConnection(host, timeout=DEADLINE_S)) as connection:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {name: each for name, each in sent.items() if each})
            answer = connection.getresponse()
            text = answer.read()
        for cookie in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
        return Answer(answer.status, answer.headers, json.loads(text) if text else None)

    def sign_in(self, **credential: str) -> Answer:
        answer = self.ask("POST", SESSION, credential)
        if answer.status == 200:
            self.binding = answer.body.get("binding", self.binding)
        return answer


def token_of(server: ServerProcess) -> str:
    state = instance.read(server.state)
    assert state is not None
    return state.page_token


def statuses(tab: Tab, run: str) -> tuple[int, int]:
    """Of reading, and of changing something."""
    return tab.ask("GET", READ).status, tab.ask("PATCH", f"/api/v0{run}", {"notes": "x"}).status


@pytest.fixture
def reader(server: ServerProcess) -> Tab:
    tab = Tab(server)
    assert tab.sign_in(token=token_of(server)).status == 200
    return tab


@pytest.fixture
def owner(server: ServerProcess) -> Tab:
    tab = Tab(server)
    assert tab.sign_in(key=KEY).status == 200
    return tab


@pytest.fixture
def beside(server: ServerProcess) -> Iterator[Store]:
    """The server's store, as ``steplog key`` opens it."""
    with closing(open_store(server.database, beside=True)) as store:
        yield store


def issued(store: Store, key: str) -> int:
    return store.issue_key(None, keys.hash_key(key), "").result().id


def test_the_pages_token_signs_in_to_read_and_a_key_to_change(server, run):
    tab = Tab(server)
    assert tab.ask("GET", SESSION).body == NOBODY
    assert statuses(tab, run) == (401, 401)
    answer = tab.sign_in(token=token_of(server))
    assert (answer.status, answer.body["user"], answer.body["role"]) == (200, None, "READER")
    assert statuses(tab, run) == (200, 403)
    answer = tab.sign_in(key=KEY)
    assert (answer.status, answer.body["role"]) == (200, "OWNER")
    assert set(answer.body["user"]) == {"username"}
    assert statuses(tab, run) == (200, 200)
    who = tab.ask("GET", SESSION).body
    assert who == {name: each for name, each in answer.body.items() if name != "binding"}


def test_a_cookie_is_for_this_server_alone_and_no_script_reads_it(server):
    tab = Tab(server)
    first, *attributes = tab.sign_in(key=KEY).headers["Set-Cookie"].split("; ")
    state = instance.read(server.state)
    assert first.partition("=")[0] == f"steplog_{state.instance}"
    given = dict(each.lower().partition("=")[::2] for each in attributes)
    assert 30 * 86400 - 60 <= int(given.pop("max-age")) <= 30 * 86400
    assert given == {"httponly": "", "path": "/", "samesite": "strict"}


def test_over_tls_the_cookie_is_never_sent_in_clear(tmp_path):
    make_authority(tmp_path)
    files = ("--tls-cert", str(tmp_path / "server.pem"), "--tls-key", str(tmp_path / "server.key"))
    with ServerProcess(tmp_path, *files) as server:
        server.session.verify = str(tmp_path / "ca.pem")
        server.session.headers.pop("Authorization")
        answer = server.ask("POST", "/session/", json={"key": KEY}, headers={"Origin": server.url})
        assert "; Secure" in answer.headers["Set-Cookie"]
        clear = server.url.replace("https", "http")
        assert server.ask("POST", "/session/", json={"key": KEY}, headers={"Origin": clear}).status_code == 403


def test_behind_something_that_encrypts_the_cookie_is_secure_too(server):
    tab = Tab(server)
    answer = tab.ask("POST", SESSION, {"key": KEY}, Origin=server.url.replace("http", "https"))
    assert (answer.status, "; Secure" in answer.headers["Set-Cookie"]) == (200, True)


def test_the_cookie_alone_opens_nothing_nor_does_what_the_page_keeps(server, run, owner):
    """A browser sends its cookies to every port of the host, where another user's server may listen."""
    cookies, binding = owner.cookies, owner.binding
    for changed in ({}, {"Steplog_Binding": binding + "x"}, {"Steplog_Binding": next(iter(cookies.values()))}):
        owner.binding = ""
        assert owner.ask("GET", READ, **changed).status == 401
        assert owner.ask("PATCH", f"/api/v0{run}", {"notes": "x"}, **changed).status == 401
        assert owner.ask("GET", SESSION, **changed).body == NOBODY
    owner.binding, owner.cookies = binding, {}
    assert statuses(owner, run) == (401, 401)
    owner.cookies = {name.replace("steplog_", "steplog-"): value for name, value in cookies.items()}
    assert statuses(owner, run) == (401, 401)


def test_a_link_carries_in_its_query_what_a_request_has_in_a_header_to_read_alone(server, run, owner):
    binding, owner.binding = owner.binding, ""
    assert owner.ask("GET", f"{READ}?binding={binding}", Sec_Fetch_Site="same-origin", Origin="").status == 200
    assert owner.ask("GET", f"{READ}?binding=x").status == 401
    assert owner.ask("PATCH", f"/api/v0{run}?binding={binding}", {"notes": "x"}).status == 401


@pytest.mark.parametrize("site", ["same-site", "cross-site", "", "x"])
def test_another_sites_page_neither_reads_nor_changes_nor_signs_in_or_out(server, run, owner, reader, site):
    """``same-site`` is what a page of another port of this host is."""
    for tab in (owner, reader):
        # Not by the header of this name alone: an empty one is sent.
        headers = {"Sec_Fetch_Site": site or " "}
        assert tab.ask("GET", READ, **headers).status == 403
        assert tab.ask("PATCH", f"/api/v0{run}", {"notes": "x"}, **headers).status == 403
        assert tab.ask("GET", SESSION, **headers).status == 403
        assert tab.ask("DELETE", SESSION, **headers).status == 403
        assert tab.ask("POST", SESSION, {"key": KEY}, **headers).status == 403
        assert tab.ask("GET", READ).status == 200


def test_what_changes_something_needs_an_origin_of_this_server(server, run, owner):
    port = int(server.url.rpartition(":")[2])
    foreign = ["", "null", "http://evil.example", f"http://127.0.0.1:{port + 1}", f"http://localhost:{port}"]
    foreign += [
        f"127.0.0.1:{port}",
        f"ftp://127.0.0.1:{port}",
        f"http://127.0.0.1:{port}/",
        f"{server.url} {server.url}",
    ]
    before = server.ask("GET", run).json()
    for origin in foreign:
        for method, path, body in (
            ("PATCH", f"/api/v0{run}", {"notes": "x"}),
            ("DELETE", f"/api/v0{run}", None),
            ("POST", f"/api/v0{run}metrics/", {"name": "a", "value": 1}),
            ("POST", "/api/v0/team/projects/", {"display_name": "made", "visibility": "TEAM"}),
            ("POST", SESSION, {"key": KEY}),
            ("DELETE", SESSION, None),
        ):
            # Without what a browser adds, since a browser that does not send it may send no Origin either.
            assert (origin, owner.ask(method, path, body, Origin=origin, Sec_Fetch_Site="").status) == (origin, 403)
    assert server.ask("GET", run).json() == before
    assert statuses(owner, run) == (200, 200)
    assert owner.ask("PATCH", f"/api/v0{run}", {"notes": "x"}, Sec_Fetch_Site="").status == 200


def test_a_method_that_sessions_have_not_is_answered_so_whoever_asks(server, owner):
    for method in ("PUT", "PATCH", "TRACE"):
        answers = owner.ask(method, SESSION, Origin=""), Tab(server).ask(method, SESSION, Origin="", Sec_Fetch_Site="")
        assert [answer.status for answer in answers] == [405, 405]


def test_a_form_of_another_site_cannot_sign_anybody_in(server):
    """It sends no JSON, and a browser asks before a script of another site may: that is answered without leave."""
    tab = Tab(server)
    for form in ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain", ""):
        assert tab.ask("POST", SESSION, {"key": KEY}, Content_Type=form).status in (400, 415)
    asked = {"Access_Control_Request_Method": "POST", "Origin": "http://evil.example", "Sec_Fetch_Site": "cross-site"}
    answer = tab.ask("OPTIONS", SESSION, **asked)
    assert answer.status == 403
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"key": "wrong"}, 401),
        ({"token": "wrong"}, 401),
        ({"token": KEY}, 401),
        ({}, 400),
        ({"key": KEY, "token": "x"}, 400),
        ({"key": ""}, 400),
        ({"key": 7}, 400),
        ({"key": KEY, "filler": "x" * 5000}, 413),
    ],
)
def test_nothing_else_signs_in(server, given, status):
    tab = Tab(server)
    answer = tab.ask("POST", SESSION, given)
    assert (answer.status, tab.cookies) == (status, {})


def test_the_pages_token_is_no_key(server):
    assert Tab(server).sign_in(key=token_of(server)).status == 401


def test_who_is_signed_in_stays_so_when_an_address_with_a_token_is_opened(server, owner):
    before = owner.cookies | {"binding": owner.binding}
    answer = owner.sign_in(token=token_of(server))
    assert (answer.body["role"], "binding" in answer.body) == ("OWNER", False)
    assert owner.cookies | {"binding": owner.binding} == before


@pytest.mark.slow
def test_signing_in_makes_new_secrets_and_ends_the_session_before(server, run):
    """A session that somebody has planted is not the one that goes on."""
    tab, other = Tab(server), Tab(server)
    tab.sign_in(token=token_of(server))
    other.cookies, other.binding = dict(tab.cookies), tab.binding
    tab.sign_in(key=KEY)
    assert tab.cookies != other.cookies
    assert tab.binding != other.binding
    assert (statuses(tab, run), statuses(other, run)) == ((200, 200), (200, 403)), "what is on its way is answered"
    wait_until(lambda: statuses(other, run) == (401, 401), 10.0)
    assert statuses(tab, run) == (200, 200)


def test_of_two_cookies_of_the_name_the_one_that_counts_is_found(server, owner):
    (name, value), binding = *owner.cookies.items(), owner.binding
    for cookies in (f"{name}=planted; {name}={value}", f"{name}={value}; {name}=planted", f"a=b;{name}={value};c"):
        assert owner.ask("GET", READ, Cookie=cookies, Steplog_Binding=binding).status == 200
    many = "; ".join([f"{name}=planted"] * 4 + [f"{name}={value}"])
    assert owner.ask("GET", READ, Cookie=many).status == 401, "no more than four are looked up"


def test_signing_out_ends_the_session_at_once_and_in_every_tab(server, run, owner):
    other = Tab(server)
    other.cookies, other.binding = dict(owner.cookies), owner.binding
    assert statuses(other, run) == (200, 200)
    answer = owner.ask("DELETE", SESSION)
    assert answer.status == 204
    assert "max-age=0" in answer.headers["Set-Cookie"].lower()
    assert (statuses(other, run), statuses(owner, run)) == ((401, 401), (401, 401))
    assert owner.ask("DELETE", SESSION).status == 204


def test_a_session_goes_on_after_a_restart_of_the_server(tmp_path):
    with ServerProcess(tmp_path) as server:
        run = server.new_run()
        tabs = Tab(server), Tab(server)
        tabs[0].sign_in(token=token_of(server))
        tabs[1].sign_in(key=KEY)
        server.end()
        with closing(sqlite3.connect(server.database)) as connection:  # two days later, so that it has another token
            made = (datetime.now(timezone.utc) - timedelta(days=2)).isoformat()
            connection.execute("UPDATE about SET value = ? WHERE name = 'page_token_made'", (made,))
            connection.commit()
        before = token_of_database(server)
        server.start()
        assert token_of_database(server) != before
        for tab in tabs:
            tab.url = server.url
        assert [statuses(tab, run) for tab in tabs] == [(200, 403), (200, 200)]


def token_of_database(server: ServerProcess) -> str:
    with closing(sqlite3.connect(server.database)) as connection:
        ((token,),) = connection.execute("SELECT value FROM about WHERE name = 'page_token'")
        return str(token)


def test_a_rotated_token_ends_the_sessions_of_readers_and_no_others(server, run, owner, reader, beside):
    assert (statuses(reader, run), statuses(owner, run)) == ((200, 403), (200, 200))
    old = token_of(server)
    keys.renew_page_token(beside)
    wait_until(lambda: statuses(reader, run) == (401, 401), 5.0)
    assert Tab(server).sign_in(token=old).status == 401, "also while the server still takes it for valid"
    assert statuses(owner, run) == (200, 200)


def test_a_revoked_key_ends_its_sessions(server, run, owner, beside):
    number = issued(beside, "lost")
    tab = Tab(server)
    tab.sign_in(key="lost")
    assert statuses(tab, run) == (200, 200)
    beside.revoke_keys([number]).result()
    wait_until(lambda: statuses(tab, run) == (401, 401), 5.0)
    assert statuses(owner, run) == (200, 200)


def test_a_key_that_a_start_replaces_ends_its_sessions(tmp_path):
    with ServerProcess(tmp_path, key="first") as server:
        tab, run = Tab(server), server.new_run()
        tab.sign_in(key="first")
        server.end()
        server._environment["STEPLOG_SERVE_API_KEY"] = "second"
        server.start()
        tab.url = server.url
        assert statuses(tab, run) == (401, 401)


def test_a_session_ends_when_its_time_has_come(server, run, owner):
    assert statuses(owner, run) == (200, 200)
    with closing(sqlite3.connect(server.database)) as connection:
        connection.execute("UPDATE sessions SET expires = '2026-01-01T00:00:00+00:00'")
        connection.commit()
    wait_until(lambda: statuses(owner, run) == (401, 401), 5.0)


def test_a_readers_session_is_no_older_than_its_token_may_be(tmp_path):
    with ServerProcess(tmp_path) as server:
        server.end()
        made = (datetime.now(timezone.utc) - timedelta(hours=20)).replace(microsecond=0)
        with closing(sqlite3.connect(server.database)) as connection:
            connection.execute("UPDATE about SET value = ? WHERE name = 'page_token_made'", (made.isoformat(),))
            connection.commit()
        server.start()
        answer = Tab(server).sign_in(token=token_of(server))
        assert datetime.fromisoformat(answer.body["expires"]) == made + timedelta(days=30)


def test_a_copy_of_the_database_has_no_secret_of_a_session(server, owner):
    for file in filter(Path.is_file, server.directory.rglob("server.db*")):
        content = file.read_bytes()
        for secret in (owner.binding, *owner.cookies.values()):
            assert secret.encode() not in content


def test_a_reader_may_ask_for_what_the_token_may(server, reader):
    assert reader.ask("GET", "/api/v0/verify-api-key/").status == 403
    for path in ("/nowhere/", "/projects/"):
        assert reader.ask("GET", f"/api/v0{path}").status == 404
    curves = "/api/v0/team/projects/none/curves/"
    assert reader.ask("POST", curves, {"runs": [], "names": []}).status in (400, 404)
    assert reader.ask("POST", curves, {}, Origin="http://evil.example").status == 403


def test_a_host_that_is_not_this_servers_has_no_session(server, owner):
    """By DNS rebinding another site's page has the Origin that its Host says."""
    evil = {"Host": "evil.example", "Origin": "http://evil.example"}
    assert owner.ask("GET", SESSION, **evil).status == 400
    assert owner.ask("POST", SESSION, {"key": KEY}, **evil).status == 400


def test_a_stock_server_has_no_sessions(tmp_path):
    with ServerProcess(tmp_path, "--stock") as server:
        assert server.ask("GET", "/session/").status_code == 404
        assert Tab(server).ask("GET", SESSION).status == 401
        assert Tab(server).sign_in(key=KEY).status == 401


def test_signing_in_counts_as_a_request_of_the_key(server, beside):
    """Each makes a row: else a key beyond its quota could write without end."""
    terms = KeyTerms(requests_a_minute=1)
    beside.issue_key(None, keys.hash_key("bounded"), "", terms).result()
    answers = [Tab(server).sign_in(key="bounded") for _ in range(5)]
    assert [answers[0].status, answers[-1].status] == [200, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 120
    assert Tab(server).sign_in(key=KEY).status == 200


def test_who_has_no_key_is_not_told_where_the_database_is(tmp_path):
    with ServerProcess(tmp_path) as server:
        away = tmp_path / "away.db"
        server.database.rename(away)
        told = [Tab(server).sign_in(key="unknown"), Tab(server).sign_in(token=token_of(server))]
        away.rename(server.database)
    for answer in told:
        assert (answer.status, answer.body["detail"]) == (503, "The database cannot be used now.")
