"""A content's address in a browser: an image is shown and a sound played in the page, and nothing of any runs."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from page.browser import Browser
from page.media_files import flat, png, wav
from server.file_server import FileServer, serving
from server.process import KEY
from server.test_active_contents import ACTIVE
from steplog.server.blobs.folder import FolderContents

SIGN_IN = """
fetch("/api/v0/session/", {method: "POST", headers: {"Content-Type": "application/json"},
    body: JSON.stringify({key: %r})}).then((answer) => answer.json()).then((session) => session.binding)
"""
LOADED = """
new Promise((done) => {
  const made = document.createElement(%r);
  made.addEventListener(%r, () => done([made.naturalWidth ?? 0, made.duration ?? 0]));
  made.addEventListener("error", () => done(null));
  made.src = %r;
})
"""
READ = "fetch(%r).then((answer) => answer.status, () => 'refused')"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    directory = tmp_path_factory.mktemp("server")
    with serving(directory, FolderContents(directory / "blobs")) as server:
        yield server


@pytest.fixture(scope="module")
def run(files: FileServer) -> str:
    return files.new_run()


@pytest.fixture
def binding(browser: Browser, files: FileServer) -> str:
    """That of a session of this browser."""
    browser.open(f"{files.url}/healthz")
    return str(browser.run(SIGN_IN % KEY))


def address(files: FileServer, run: str, content: bytes, binding: str, **fields: Any) -> str:
    return f"{files.url}/api/v0{run}files/{files.save(run, content, **fields)}?binding={binding}"


@contextmanager
def page_elsewhere(body: str) -> Iterator[str]:
    """The address of a page of another port, which a browser takes for the same site."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}/"
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


@pytest.mark.parametrize("what", ACTIVE)
def test_opening_a_contents_address_runs_nothing_and_shows_no_page(browser, files, run, binding, what):
    for path in ("a.html", "a.svg", ""):
        url = address(files, run, ACTIVE[what], binding, path=path, type="text/html", suffix=".html")
        assert browser.run(READ % url) == 200, "it can be read"
        browser.open(url)
        browser.settle()
        assert browser.run("location.href") == "about:blank", "it is saved, and no page"
        browser.open(f"{files.url}/healthz")


@pytest.mark.slow
@pytest.mark.parametrize("what", ["script", "html", "sheet", "gif with script", "bitmap with script"])
def test_no_content_is_a_script_or_a_sheet_of_the_page_or_of_another(browser, files, run, binding, what):
    """Even where somebody has found a way to have the page load it."""
    url = address(files, run, ACTIVE[what], binding, type="text/javascript", suffix=".js")
    with browser.complaining("Content Security Policy", "MIME type", "Refused", "403", "ERR_", "NotSameOrigin"):
        browser.open(f"{files.url}/healthz")
        outcome = browser.run(f"import({url!r}).then(() => 'ran', () => 'refused')")
        assert outcome == "refused"
        tags = f'<script src="{url}"></script><link rel="stylesheet" href="{url}"><iframe src="{url}"></iframe>'
        with page_elsewhere(f"{tags}<object data='{url}'></object><embed src='{url}'><p>there</p>") as other:
            browser.open(other)
            browser.settle()
            assert browser.run("document.querySelector('p').textContent") == "there"
            assert browser.run("getComputedStyle(document.documentElement).backgroundColor") == "rgba(0, 0, 0, 0)"
    assert browser.dialogs == []


def test_the_page_shows_images_and_plays_sounds_of_its_session(browser, files, run, binding):
    image = address(files, run, png(flat(250, 0, 0, 20, 30)), binding, type="image/png", suffix=".png")
    sound = address(files, run, wav(0.5, 440), binding, type="audio/wav", suffix=".wav")
    browser.open(f"{files.url}/healthz")
    assert browser.run(LOADED % ("img", "load", image)) == [30, 0]
    assert browser.run(LOADED % ("audio", "loadedmetadata", sound))[1] == 0.5
    with browser.complaining("401"):
        assert browser.run(LOADED % ("img", "load", image.partition("?")[0])) is None, "without the binding"


def test_a_page_of_another_port_gets_no_content_of_a_session(browser, files, run, binding):
    image = address(files, run, png(flat(0, 250, 0)), binding)
    with browser.complaining("403", "NotSameOrigin", "CORS", "Failed to load"), page_elsewhere("<p>there</p>") as other:
        browser.open(other)
        assert browser.run(LOADED % ("img", "load", image)) is None
        assert browser.run(READ % image) == "refused"
