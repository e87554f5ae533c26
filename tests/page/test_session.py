"""Signing in on the page: the terminal's address reads in one click, a key is asked for once, nothing keeps either."""

from __future__ import annotations

import http.server
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
import requests

from page import axe
from page.browser import Browser
from page.looking import address, new_run, project
from server.process import DEADLINE_S, KEY, ServerProcess, lasting_port
from steplog import instance
from steplog.server.keys import hash_key
from steplog.server.open_store import open_store

IS_OPEN = "document.querySelector('dialog[open] input:not([hidden])') === document.activeElement"
IS_CLOSED = "!document.querySelector('dialog[open]')"


@pytest.fixture(scope="module")
def place(server: ServerProcess) -> str:
    made = project(server, "sessions")
    new_run(server, made, name="a run")
    return made


@pytest.fixture
def alone(browser: Browser) -> Iterator[Browser]:
    """A browser that nobody is signed in with, before and after; it leaves no other port's cookies behind."""
    browser.call("Network.clearBrowserCookies")
    yield browser
    forget(browser)


def forget(browser: Browser) -> None:
    """Have the browser keep nothing more."""
    origin = browser.run("location.origin")
    browser.open("about:blank")  # so that nothing asks meanwhile
    browser.call("Network.clearBrowserCookies")
    if origin != "null":
        browser.call("Storage.clearDataForOrigin", origin=origin, storageTypes="local_storage")


def token_of(server: ServerProcess) -> str:
    state = instance.read(server.state)
    assert state is not None
    return state.page_token


def sign_in_to_read(browser: Browser, server: ServerProcess, path: str) -> None:
    browser.open(address(server, path))
    browser.by_role("button", "Sign in to edit").found()


def give_key(browser: Browser, key: str = KEY) -> None:
    browser.wait(IS_OPEN)
    browser.type(key)
    browser.press("Enter")


def kept_by(browser: Browser) -> str:
    """All that a script of the page can read of what the browser keeps for it."""
    return str(
        browser.run(
            """JSON.stringify([location.href, document.cookie, document.referrer, history.state,
            Object.entries(localStorage), Object.entries(sessionStorage), document.documentElement.outerHTML])"""
        )
    )


def test_the_terminals_address_signs_in_to_read_and_a_key_once_to_edit(alone, server, place):
    browser = alone
    sign_in_to_read(browser, server, f"{place}?smoothing=0.6")
    assert browser.run("location.href") == f"{server.url}{place}?smoothing=0.6"
    browser.by_role("button", "Sign in to edit").click()
    give_key(browser)
    browser.by_role("button", username(server)).found()
    assert browser.run(IS_CLOSED)
    kept = kept_by(browser)
    assert token_of(server) not in kept
    assert KEY not in kept
    browser.open(f"{server.url}/")
    browser.by_role("button", username(server)).found()
    assert browser.names("button").count("Sign in to edit") == 0


def username(server: ServerProcess) -> str:
    return str(server.ask("GET", "/verify-api-key/").json()["username"])


@pytest.mark.slow
def test_without_a_session_the_view_waits_for_an_address_or_a_key(alone, server, place):
    """Whatever address was opened is there once somebody has signed in."""
    browser = alone
    for given in (f"{server.url}/#token={token_of(server)}", f"  {KEY} ", token_of(server)):
        browser.open(f"{server.url}{place}?sort=name")
        field = browser.by_role("textbox", "Address or key")
        browser.wait("document.activeElement.matches('input')")
        assert browser.names("grid") == []
        browser.call("Input.insertText", text=given)
        field.press("Enter")
        browser.by_role("grid", "Runs").found()
        assert browser.run("location.search") == "?sort=name"
        forget(browser)
    browser.complaints.clear()  # a token alone is tried as a key first


@pytest.mark.slow
def test_what_does_not_sign_in_says_so_and_stays_to_be_mended(alone, server, place):
    browser = alone
    browser.open(f"{server.url}{place}")
    field = browser.by_role("textbox", "Address or key")
    for given, words in (
        ("http://127.0.0.1/", "This address has no token at its end."),
        ("wrong", "This is not valid here: it may have been replaced or revoked."),
    ):
        field.press("Control+a")
        browser.call("Input.insertText", text=given)
        field.press("Enter")
        browser.wait(f"document.querySelector('[role=alert]').textContent === {json.dumps(words)}")
        assert field.value == given
        assert field.focused
    browser.complaints.clear()  # of a 401


@pytest.mark.slow
def test_an_address_whose_token_was_replaced_says_so(alone, server, place):
    browser = alone
    browser.open(f"{server.url}{place}#token=of-long-ago")
    browser.wait("document.body.innerText.includes('The address that was opened is no longer valid.')")
    assert browser.run("location.hash") == ""
    browser.complaints.clear()  # of a 401


@pytest.mark.slow
def test_an_address_with_an_old_token_goes_on_where_somebody_is_signed_in(alone, server, place):
    browser = alone
    sign_in_to_read(browser, server, place)
    browser.open(f"{server.url}{place}#token=of-long-ago")
    browser.by_role("grid", "Runs").found()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_signing_in_is_for_everybody(alone, server, place, width, dark):
    browser = alone
    browser.size(width, 800, dark=dark)
    browser.media(dark=dark, still=True)
    browser.open(f"{server.url}{place}")
    browser.by_role("textbox", "Address or key").found()
    assert axe.violations(browser) == []
    assert browser.overflowing() == []
    sign_in_to_read(browser, server, place)
    browser.by_role("button", "Sign in to edit").press("Enter")
    browser.wait(IS_OPEN)
    assert axe.violations(browser, "dialog") == []
    browser.press("Escape")
    browser.wait(IS_CLOSED)
    assert browser.focus == ("button", "Sign in to edit")
    browser.by_role("button", "Signed in to read").press("Enter")
    browser.by_role("menuitem", "Sign out").found()
    assert axe.violations(browser, "#top") == []
    assert browser.overflowing() == []


@pytest.mark.slow
def test_a_key_is_asked_for_once_whoever_waits_for_it(alone, server, place):
    browser = alone
    sign_in_to_read(browser, server, place)
    ask = """(globalThis.told = [],
        import(document.querySelector('script[type=module]').src.replace('main.js', 'data/session.js'))
          .then(({ needKey }) => [1, 2].forEach((each) =>
            needKey().then(() => told.push(each), ({ constructor }) => told.push(constructor.name)))),
        1)"""
    browser.run(ask)
    browser.wait(IS_OPEN)
    assert browser.run("document.querySelectorAll('dialog[open]').length") == 1
    browser.press("Escape")
    browser.wait("told.join() === 'Cancelled,Cancelled'")
    browser.run(ask)
    give_key(browser)
    browser.wait("told.join() === '1,2'")
    browser.run(ask)
    browser.wait("told.join() === '1,2'")
    assert browser.run(IS_CLOSED)


@pytest.mark.slow
def test_two_servers_that_are_reached_by_one_address_keep_their_sessions_apart(alone, tmp_path):
    """Through a tunnel, say, that leads now here and now there."""
    browser, port = alone, str(lasting_port())
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    servers = [ServerProcess(tmp_path / name, "--port", port) for name in ("one",)]
    try:
        sign_in_to_read(browser, servers[0], "/")
        servers[0].end()
        servers.append(ServerProcess(tmp_path / "other", "--port", port))
        browser.open(f"{servers[1].url}/")
        browser.by_role("textbox", "Address or key").found()
        sign_in_to_read(browser, servers[1], "/")
        servers[1].end()
        servers[0].start()
        browser.open(f"{servers[0].url}/")
        browser.by_role("button", "Sign in to edit").found()
        browser.open("about:blank")
    finally:
        for each in servers:
            each.__exit__(None, None, None)
    browser.complaints.clear()  # of requests while neither was there


@pytest.mark.slow
def test_signing_out_in_one_tab_signs_out_in_all_and_in_again_too(alone, server, place):
    browser = alone
    sign_in_to_read(browser, server, place)
    with browser.another_tab():
        browser.open(f"{server.url}{place}")
        browser.by_role("button", "Signed in to read").click()
        browser.by_role("menuitem", "Sign out").click()
        browser.by_role("textbox", "Address or key").found()
    browser.by_role("textbox", "Address or key").found()
    assert browser.names("grid") == []
    with browser.another_tab():
        browser.open(address(server, place))
        browser.by_role("grid", "Runs").found()
    browser.by_role("grid", "Runs").found()


@pytest.mark.slow
def test_a_session_that_ends_meanwhile_is_begun_again_over_the_view(alone, server, place):
    """What is shown stays, and goes on: nothing is loaded anew, and what was typed is not lost."""
    browser = alone
    sign_in_to_read(browser, server, place)
    browser.by_role("grid", "Runs").found()
    browser.run("globalThis.same = true")
    with closing(sqlite3.connect(server.database)) as connection:
        connection.execute("DELETE FROM sessions")
        connection.commit()
    browser.wait("document.querySelector('dialog[open] h2')?.textContent === 'Sign in again'")
    assert "a run" in browser.run("document.querySelector('main').innerText")
    new_run(server, place, name="made meanwhile")
    browser.wait(IS_OPEN)
    browser.call("Input.insertText", text=address(server, "/"))
    browser.press("Enter")
    browser.wait(IS_CLOSED)
    browser.wait("document.querySelector('main').innerText.includes('made meanwhile')")
    assert browser.run("globalThis.same")
    browser.complaints.clear()  # of a 401


class OtherPort(http.server.BaseHTTPRequestHandler):
    """Another user's server on the same host: it sees the cookies, and its page asks the server what it likes."""

    cookies: list[str]
    page = b""

    def do_GET(self) -> None:
        self.cookies.append(self.headers.get("Cookie", ""))
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title><link rel=icon href=data:,>")

    def log_message(self, *_: Any) -> None:
        pass


class HostChanged(http.server.BaseHTTPRequestHandler):
    """A proxy that asks a server in its own name for the host, as some do unless they are told otherwise."""

    target: str

    def do_GET(self) -> None:
        sent = {name: value for name, value in self.headers.items() if name != "Host"}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = requests.request(self.command, self.target + self.path, headers=sent, data=body, timeout=DEADLINE_S)
        self.send_response(answer.status_code)
        for name in ("Content-Type", "Content-Security-Policy"):
            self.send_header(name, answer.headers.get(name, ""))
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def listening(kind: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """The URL of a server in this process."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as elsewhere:
        thread = threading.Thread(target=elsewhere.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{elsewhere.server_port}"
        finally:
            elsewhere.shutdown()
            thread.join(DEADLINE_S)


@contextmanager
def other_port() -> Iterator[tuple[str, list[str]]]:
    """Its URL, and the cookies that it is sent."""
    cookies: list[str] = []
    with listening(type("Recording", (OtherPort,), {"cookies": cookies})) as url:
        yield f"{url}/", cookies


@pytest.mark.slow
def test_behind_what_changes_the_host_the_page_says_why_nobody_is_signed_in(alone, server, place):
    browser, words = alone, json.dumps("The server does not take this page for its own")
    with listening(type("Proxy", (HostChanged,), {"target": server.url})) as url:
        browser.open(address(server, place).replace(server.url, url))
        browser.wait(f"document.querySelector('.ask').innerText.includes({words})")
        browser.by_role("textbox", "Address or key").type("k")
        browser.press("Enter")
        browser.wait(f"document.querySelector('[role=alert]').textContent.startsWith({words})")
        browser.open("about:blank")
    browser.complaints.clear()  # of a 403


@pytest.mark.slow
def test_another_port_of_the_host_gets_the_cookie_and_nothing_for_it(alone, server, place):
    """Of a cookie alone it could read and change everything."""
    browser = alone
    sign_in_to_read(browser, server, place)
    browser.by_role("button", "Sign in to edit").click()
    give_key(browser)
    browser.by_role("button", username(server)).found()
    with other_port() as (url, cookies):
        browser.open(url)
        browser.wait("document.title === 'elsewhere'")
        assert any(each.startswith("steplog_") for each in cookies), "this is why there is a binding"
        api = f"{server.url}/api/v0"
        stolen = {"Cookie": cookies[-1], "Origin": server.url, "Sec-Fetch-Site": "same-origin"}
        assert requests.get(f"{api}/namespaces/", headers=stolen, timeout=DEADLINE_S).status_code == 401
        gone = requests.delete(f"{api}{place}", headers=stolen, timeout=DEADLINE_S)
        assert (gone.status_code, server.ask("GET", place).status_code) == (401, 200)
        assert browser.run("JSON.stringify(localStorage)") == "{}"
        browser.call("Page.navigate", url="about:blank")
    browser.open(f"{server.url}{place}")
    browser.by_role("button", username(server)).found()


@pytest.mark.slow
def test_a_page_of_another_port_changes_nothing_and_reads_nothing(alone, server, place):
    """It is the same site, so that the browser adds the cookie to what it asks."""
    browser = alone
    sign_in_to_read(browser, server, place)
    browser.by_role("button", "Sign in to edit").click()
    give_key(browser)
    browser.by_role("button", username(server)).found()
    run = f"{server.url}/api/v0{place}runs/{server.ask('GET', f'{place}runs/').json()[0]['uuid']}/"
    before = server.ask("GET", f"{place}runs/").json()
    with other_port() as (url, _):
        browser.open(url)
        browser.wait("document.title === 'elsewhere'")
        asked = browser.run(
            f"""Promise.all([
              ...["no-cors", "cors"].flatMap((mode) => [
                fetch({json.dumps(run)}, {{ mode, credentials: "include" }}),
                fetch({json.dumps(run)}, {{ method: "POST", mode, credentials: "include", body: "{{}}" }}),
              ]),
              fetch({json.dumps(run)}, {{ method: "DELETE", credentials: "include" }}),
              fetch({json.dumps(f"{server.url}/api/v0/session/")}, {{ method: "DELETE", credentials: "include" }}),
            ].map((each) => each.then(({{ type }}) => type, () => "refused")))"""
        )
        assert set(asked) <= {"opaque", "refused"}
        browser.run(
            f"""setTimeout(() => {{
              const form = Object.assign(document.createElement("form"), {{
                action: {json.dumps(f"{run}metrics/")}, method: "post", enctype: "text/plain",
              }});
              document.body.append(form);
              form.submit();
            }}), 1"""
        )
        browser.wait("location.pathname.endsWith('/metrics/') && document.body.innerText.includes('detail')")
        browser.complaints.clear()  # of what is refused
    assert server.ask("GET", f"{place}runs/").json() == before
    browser.open(f"{server.url}{place}")
    browser.by_role("button", username(server)).found()
    browser.complaints.clear()


@pytest.mark.slow
def test_who_may_only_read_a_project_hears_so_and_is_not_asked_for_a_key_again(alone, server):
    """The page asked for a key once more, whichever was given."""
    browser, key = alone, "a-readers-key"
    made = project(server, "only-to-read")
    run = new_run(server, made, name="a run")
    with closing(open_store(server.place, beside=True)) as store:
        reader = store.add_user("reader").result()
        store.issue_key("reader", hash_key(key), "").result()
        found = store.project("team", "only-to-read")
        store.put_member(store.namespace("team"), found, reader, "READER").result()
    browser.open(f"{server.url}{run}")
    browser.by_role("textbox", "Address or key").found()
    browser.call("Input.insertText", text=key)
    browser.press("Enter")
    browser.by_role("button", "Edit").click()
    browser.wait("document.querySelector('dialog[open] input:not([hidden])')")
    browser.by_role("textbox", "Name").fill("another")
    browser.by_role("button", "Save").click()
    words = "Not saved: You have the role READER in this project, and that takes MEMBER."
    browser.wait(f"document.querySelector('dialog [role=alert]').textContent === {json.dumps(words)}")
    assert server.ask("GET", run).json()["name"] == "a run"
    browser.complaints.clear()  # of a 403
