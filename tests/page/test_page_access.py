"""The page's files are public; its data needs a session, a token that is read-only, or a key."""

from __future__ import annotations

import itertools
import re
import sqlite3

import pytest
import requests

from server.process import DEADLINE_S, KEY, SOURCES, ServerProcess
from steplog import instance
from steplog.instance import Instance
from steplog.private_files import write_private

PAGE = SOURCES / "steplog" / "server" / "page"
FILES = sorted(file.relative_to(PAGE).as_posix() for file in PAGE.rglob("*") if file.is_file())
SHELLS = ["/", "/team/projects/mnist/", "/team/projects/mnist", "/team/projects/mnist/runs/a-run/"]
TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def get(server: ServerProcess, path: str, method: str = "GET", **headers: str) -> requests.Response:
    """A request without the key."""
    return requests.request(
        method, server.url + path, headers=headers, timeout=DEADLINE_S, allow_redirects=False, data=b""
    )


@pytest.fixture
def run(server: ServerProcess) -> str:
    return server.new_run()


@pytest.fixture
def token(server: ServerProcess) -> str:
    state = instance.read(server.state)
    assert state is not None
    return state.page_token


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Page-Token {token}"}


@pytest.fixture(scope="module")
def assets(server: ServerProcess) -> str:
    """Where the page's files are: a path with their hash."""
    found = re.search(r'src="(/page/[0-9a-f]{16})/main\.js"', get(server, "/").text)
    assert found is not None
    return found[1]


def test_every_address_of_the_page_is_the_same_shell_for_everyone(server):
    answers = [get(server, path) for path in SHELLS]
    assert {(each.status_code, each.headers["Content-Type"]) for each in answers} == {(200, "text/html; charset=utf-8")}
    assert len({each.content for each in answers}) == 1
    assert {each.headers["Cache-Control"] for each in answers} == {"no-cache"}


def test_the_files_need_no_key_say_what_they_are_and_stay(server, assets):
    served = [name for name in FILES if name.rpartition(".")[2] in TYPES]
    assert len(served) > 30
    for name in served:
        answer = get(server, f"{assets}/{name}")
        assert (name, answer.status_code, answer.content) == (name, 200, (PAGE / name).read_bytes())
        assert answer.headers["Content-Type"].partition(";")[0] == TYPES[name.rpartition(".")[2]]
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_the_shell_names_every_style_and_module_and_nothing_else(server, assets):
    """None is found only once another has come."""
    named = re.findall(r'(?:src|href)="([^"#][^"]*)"', get(server, "/").text)
    needed = {name for name in FILES if name.endswith((".js", ".css", ".svg"))}
    assert {each.removeprefix(f"{assets}/") for each in named} == needed


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/main.js",
        "{assets}/",
        "{assets}/index.html",
        "{assets}/README.md",
        "{assets}/vendor/preact.LICENSE",
        "{assets}/../../app.py",
        "{assets}/%2e%2e/app.py",
        "{assets}//etc/passwd",
        "/page/0000000000000000/main.js",
    ],
)
def test_nothing_else_is_served_beside_them(server, assets, path):
    session = requests.Session()
    request = requests.Request("GET", server.url).prepare()
    request.url = server.url + path.format(assets=assets)  # as it is, without the client's tidying
    assert session.send(request, timeout=DEADLINE_S).status_code == 404
    session.close()


def test_every_answer_forbids_what_the_page_does_not_need(server, assets, token):
    for path, headers in itertools.product(
        (*SHELLS, f"{assets}/main.js", "/nowhere", "/api/v0/namespaces/", "/api/v0/session/"),
        ({}, bearing(token), {"Origin": "http://evil.example"}),
    ):
        answer = get(server, path, **headers)
        policy = answer.headers["Content-Security-Policy"].split("; ")
        for needed in ("default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"):
            assert needed in policy
        assert "img-src 'self' data:" in policy  # images alone: they run nothing
        others = "; ".join(each for each in policy if not each.startswith("img-src "))
        assert not re.search(r"unsafe|\*|data:|https?:", others)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        given = {name.lower() for name in answer.headers}
        assert not {name for name in given if name.startswith("access-control-") or name == "set-cookie"}


def test_data_needs_the_token_or_the_key(server, run, token):
    paths = [
        "/api/v0/namespaces/",
        "/api/v0/team/projects/",
        f"/api/v0{run}",
        f"/api/v0{run}series/",
        f"/api/v0{run}metrics/",
    ]
    good = [bearing(token), {"Authorization": f"page-token {token}"}, {"Authorization": f"Api-Key {KEY}"}]
    bad = [
        {},
        bearing(""),
        bearing("x"),
        bearing(token[:-1]),
        bearing(token + "x"),
        bearing(KEY),
        {"Authorization": f"Api-Key {token}"},
        {"Authorization": token},
        {"Authorization": "Page-Token"},
        {"Cookie": f"token={token}"},
    ]
    for path in paths:
        assert [get(server, path, **headers).status_code for headers in good] == [200] * len(good)
        assert [get(server, path, **headers).status_code for headers in bad] == [401] * len(bad)
        assert get(server, f"{path}?token={token}").status_code == 401
        assert get(server, path, "HEAD", **bearing(token)).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE", "OPTIONS", "TRACE", "GETS", "QUERY"])
def test_the_token_cannot_write(server, run, token, method):
    project = run[: run.index("runs/")]
    before = server.ask("GET", run).json()
    for path in ("/team/projects/", project, f"{project}runs/", run, f"{run}metrics/", f"{run}metrics/batch/"):
        answer = get(server, f"/api/v0{path}", method, **bearing(token))
        assert (path, answer.status_code) == (path, 403)
    assert server.ask("GET", run).json() == before
    assert server.ask("GET", f"{run}metrics/").json() == []


def test_the_token_is_no_key(server, token):
    assert get(server, "/api/v0/verify-api-key/", **bearing(token)).status_code == 403
    for path in ("/nowhere/", "/projects/"):
        assert get(server, f"/api/v0{path}", **bearing(token)).status_code == 404


@pytest.mark.parametrize(
    ("site", "status"),
    [(None, 200), ("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403), ("", 403), ("x", 403)],
)
def test_the_token_is_only_for_pages_of_this_server(server, token, site, status):
    headers = bearing(token) | ({} if site is None else {"Sec-Fetch-Site": site})
    assert get(server, "/api/v0/namespaces/", **headers).status_code == status
    assert (
        get(server, "/", **({} if site is None else {"Sec-Fetch-Site": site})).status_code == 200
    )  # a link may lead here


def test_a_host_that_is_not_this_servers_gets_neither_page_nor_data(server, assets, token):
    for path in (*SHELLS, f"{assets}/main.js", "/api/v0/session/", "/api/v0/namespaces/"):
        assert get(server, path, Host="evil.example", **bearing(token)).status_code == 400


def test_a_path_that_is_cut_where_a_query_begins_opens_nothing(server):
    for path in (
        "/api/v0%3F/team/projects/",
        "/api/v0/instance/%3F/projects/",
        "/api/v0/instance/%23x",
        "//api/v0/team/projects/",
    ):
        assert get(server, path).status_code in (401, 404)


@pytest.mark.slow
def test_the_token_stays_with_the_database_and_is_never_printed(tmp_path):
    with ServerProcess(tmp_path) as server:
        first = instance.read(server.state)
        server.end()
        server.start()
        second = instance.read(server.state)
        assert first is not None
        assert second is not None
        assert (first.page_token, first.instance) == (second.page_token, second.instance)
        assert len(first.page_token) >= 32
        assert first.secret != second.secret
        assert first.page_token not in (first.api_key, first.secret)
        assert first.page_token not in repr(first)


@pytest.mark.slow
def test_a_database_from_before_the_page_gets_a_token(tmp_path):
    with ServerProcess(tmp_path) as server:
        server.end()
        connection = sqlite3.connect(server.database)
        connection.execute("DELETE FROM about WHERE name = 'page_token'")
        connection.commit()
        connection.close()
        server.start()
        state = instance.read(server.state)
        assert state is not None
        assert get(server, "/api/v0/namespaces/", **bearing(state.page_token)).status_code == 200


def test_a_state_file_from_before_the_page_is_read(tmp_path):
    path = tmp_path / "server.json"
    write_private(
        path, b'{"instance": "i", "base_url": "http://127.0.0.1:1", "secret": "s", "api_key": "k", "username": "u"}'
    )
    assert instance.read(path) == Instance("i", "http://127.0.0.1:1", "s", "k", "u", "")


def test_an_address_of_the_page_carries_the_token_where_there_is_one():
    here = Instance("i", "http://127.0.0.1:1", "s", "k", "u", "a-token_")
    assert instance.page_url(here, "/team/projects/x/") == "http://127.0.0.1:1/team/projects/x/#token=a-token_"
    without = Instance("i", "http://127.0.0.1:1", "s", "k", "u")
    assert instance.page_url(without, "/") == "http://127.0.0.1:1/"


@pytest.mark.slow
def test_a_stock_server_has_no_page(tmp_path):
    with ServerProcess(tmp_path, "--stock") as server:
        for path in (*SHELLS, "/page/main.js", "/page/0000000000000000/main.js"):
            assert get(server, path).status_code == 404
        assert server.ask("GET", "/namespaces/").status_code == 404
        connection = sqlite3.connect(server.database)
        ((token,),) = connection.execute("SELECT value FROM about WHERE name = 'page_token'")
        connection.close()
        assert get(server, "/api/v0/team/projects/", **bearing(token)).status_code == 401


def test_a_run_is_found_by_the_slug_of_its_name(server):
    for name in ("Lr 0.1", "lr_0_1", "other", "Größe ✓", "!!!"):
        server.new_run("team", "slugs")
        answer = server.ask("POST", "/team/projects/slugs/runs/", json={"name": name})
        assert answer.status_code == 201
    runs = "/team/projects/slugs/runs/"

    def names(**query: str) -> list[str]:
        return [run["name"] for run in server.ask("GET", runs, params=query).json()]

    assert names(slug="lr-0-1") == ["Lr 0.1", "lr_0_1"]
    assert names(slug="lr-0-1", limit="1") == ["Lr 0.1"]
    assert names(slug="lr-0-1", after="1") == ["lr_0_1"]
    assert names(slug="grosse") == ["Größe ✓"]
    assert names(slug="nobody") == names(slug="Lr 0.1") == []
    assert len(names()) == 10


def test_namespaces_are_listed(server, run):
    listed = server.ask("GET", "/namespaces/").json()
    assert {"slug": "team", "display_name": "team"} in listed
    assert all(set(entry) == {"slug", "display_name"} for entry in listed)
