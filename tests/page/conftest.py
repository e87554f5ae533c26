"""A browser for the page, in which each test file begins with an empty profile, and a server a test file."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from page.browser import CHROMIUM, Browser
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
    assert {re.sub(r":\d+/.*", "", url) for url in chromium.requests} <= {"http://127.0.0.1", "about:blank"}
