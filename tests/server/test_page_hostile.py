"""Metric names are text to the page: nothing runs, nothing leaves, nothing hides."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from polling import wait_until
from server.batches import range_of
from server.looking import CARDS, DRAWN, address, new_run, project

UNSEEN = re.compile(r"[\0-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")


def visible(text: str) -> str:
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Canary(http.server.BaseHTTPRequestHandler):
    """The server that hostile names point to."""

    visited: list[str] = []  # noqa: RUF012 - the class's own

    def do_GET(self) -> None:
        self.visited.append(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def canary() -> Iterator[str]:
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Canary)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"127.0.0.1:{listening.server_address[1]}"
    listening.shutdown()
    thread.join()
    listening.server_close()


def hostile(canary: str) -> list[str]:
    script = f"alert(1);fetch('//{canary}/f');window.pwned=1"
    names = [
        f"<script>{script}</script>",
        f"</script><script>{script}</script>",
        f"</title><script>{script}</script>",
        f'<img src=x onerror="{script}">',
        f"<img src=//{canary}/img>",
        f'<svg onload="{script}">',
        f"<svg><use href=//{canary}/u#x></svg>",
        f"<iframe src=//{canary}/frame></iframe>",
        '<iframe srcdoc="<script>parent.pwned=1</script>">',
        f"<link rel=stylesheet href=//{canary}/css>",
        f"<style>@import '//{canary}/import'</style>",
        f"<body onload={script}>",
        f"<details open ontoggle={script}>",
        f'<a href="javascript:{script}">x</a>',
        f"<meta http-equiv=refresh content=0;url=//{canary}/m>",
        f"<base href=//{canary}/>",
        f'" onmouseover="{script}" x="',
        f"' autofocus onfocus='{script}",
        f"`${{{script}}}`",
        f"{{{{constructor.constructor('{script}')()}}}}",
        f"javascript:{script}",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&#x3c;script&#x3e;alert(1)",
        "%3Cscript%3Ealert(1)%3C/script%3E",
        "\u2028alert(1)\u2029//",
        "\u202etxt.exe\u202c \u2066hidden\u2069 \u200fx",
        "\0\x01\x1b[31mred\x1b[0m\r\n\t\x7f\x85\x9f",
        "\ufeff\u200b\u2060zero\u00adwidth",
        "x" * 256,
        "é" * 128,
        "💥" * 64,
        "<" * 256,
        "../../x?y=1&name=z#w",
        "name with %00 and + and ;",
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty",
        " ",
        "👨‍👩‍👧 مرحبا שלום",
    ]
    assert all(len(name.encode()) <= 256 for name in names)
    return names


@pytest.mark.slow
def test_hostile_names_are_shown_as_text_and_do_nothing(server, browser, canary):
    names = hostile(canary)
    place = project(server, "<img src=x onerror=alert(1)> hostile")
    for name in names:
        new_run(server, place, name=name)
    config = {name: {name: name} for name in names}
    fault = "\n".join(names)
    records: list[Any] = [("steplog/config", json.dumps(config).encode())]
    records += [("steplog/exception", json.dumps({"type": names[0], "message": names[3], "traceback": fault}).encode())]
    records += [(name, float(at), step) for at, name in enumerate(names) for step in range(3)]
    records += [(f"text {at}", json.dumps(name).encode()) for at, name in enumerate(names)]
    run = new_run(server, place, name="attacked", description=fault)
    assert server.send(run, range_of(records)).status_code == 200
    reasons = [name[:128] for name in names[:28]]
    lost = {"dropped": dict.fromkeys(reasons, 1), "abandoned": 0, "lost": 0, "rejected": 0}
    assert server.ask("PATCH", run, json={"report": lost}).status_code == 200
    Canary.visited.clear()
    browser.size(1200, 12_000)
    browser.open(address(server, run))
    browser.wait(f"document.querySelectorAll('.card').length === 48 && {DRAWN} === {len(names)}")
    browser.run("document.querySelector('.grid + .more').click(); document.querySelector('.config').open = true")
    browser.wait(f"document.querySelectorAll('.card').length === {2 * len(names)}")
    shown = [visible(name) for name in names]
    listed = ", ".join(f"1 {visible(reason)}" for reason in reasons)
    assert browser.run("document.querySelector('.losses p').textContent").endswith(f"values were dropped: {listed}")
    assert browser.run("document.querySelector('.lossmark').textContent") == f"{len(reasons)} values lost: {listed}"
    texts = [f"text {at}" for at in range(len(names))]
    assert browser.run(CARDS) == shown + texts
    assert browser.run("[...document.querySelectorAll('pre.text:not([hidden])')].map((e) => e.textContent)") == shown
    assert browser.run("[...document.querySelectorAll('.config dt')].map((e) => e.textContent)") == [
        f"{n}.{n}" for n in shown
    ]
    assert browser.run("[...document.querySelectorAll('.runs .name')].map((e) => e.textContent)") == [
        "attacked",
        *reversed(shown),
    ]
    browser.run("document.querySelectorAll('.views button')[1].click()")
    assert browser.run("[...document.querySelectorAll('tbody th')].map((e) => e.textContent)") == shown + texts
    made = "script, img, svg, iframe, style, link, base, meta, object, embed, [onload], [onerror], [onclick]"
    assert browser.run(f"document.querySelectorAll('main :is({made})').length") == 0
    for at, path in enumerate(
        ["/", place, *(f"{place}runs/{n}/" for n in ("img-src-x-onerror-alert-1", "%3Cscript%3E", "%00"))]
    ):
        browser.open(address(server, path))
        browser.wait("document.querySelector('h1') || document.getElementById('notice').textContent")
        assert (
            at > 1
            or browser.run("document.querySelector('main').innerText").count("<img src=x onerror=alert(1)> hostile")
            == 1
        )
    assert browser.run("window.pwned ?? null") is None
    assert [line for line in browser.complaints if "404" not in line] == []
    assert (browser.dialogs, Canary.visited) == ([], [])
    assert all(url.startswith(server.url) or url == "about:blank" for url in browser.requests)
    browser.forget()


def test_the_canary_sees_a_request_that_does_leave(browser, canary):
    """One of the traps, in an unprotected page."""
    browser.open(f"http://{canary}/")
    browser.wait("document.readyState === 'complete' && location.protocol === 'http:'")
    Canary.visited.clear()
    browser.run(f"document.body.innerHTML = \"<img src='//{canary}/img' onerror='alert(7)'>\"")
    wait_until(lambda: browser.run("1") and browser.dialogs)
    assert browser.dialogs == ["7"]
    assert "/img" in Canary.visited
    assert f"http://{canary}/img" in browser.requests
    browser.forget()
