"""A browser for the page, in which each test file begins with an empty profile, and a server a test file."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator

import pytest

from page.browser import CHROMIUM, Browser
from page.canary import Canary
from page.media_files import Kept
from server.process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("state")) as started:
        yield started
        assert started.end() == (0, ""), "the server has complained"


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium is installed here")
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def chromium(process: Browser) -> Browser:
    process.renew()
    return process


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """A browser that must see no dialog, no console message, and no request off this machine."""
    chromium.forget()
    chromium.size(1200, 800)
    yield chromium
    chromium.open("about:blank")
    assert chromium.dialogs == []
    assert chromium.complaints == []
    assert {re.sub(r":\d+/.*", "", url) for url in chromium.requests if not url.startswith("data:")} <= {
        "http://127.0.0.1",
        "about:blank",
    }


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def pictures(browser: Browser, kept: Kept) -> Iterator[Browser]:
    """A browser that gets the contents of files from ``kept``."""
    with browser.answering(kept.respond, "*/runs/*/files/*"):
        yield browser
        browser.open("about:blank")


@pytest.fixture(scope="module")
def canary() -> Iterator[str]:
    """The host and port of a server that nothing may reach; ``Canary.visited`` are the paths that were asked for."""
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Canary)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"127.0.0.1:{listening.server_address[1]}"
    listening.shutdown()
    thread.join()
    listening.server_close()
