"""Metric names are text to the page: nothing runs, nothing leaves, nothing hides."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from page.looking import CARDS, DRAWN, address, hostile, new_run, project
from polling import wait_until
from server.batches import range_of

PROVENANCE = ("host", "user", "pid", "python", "command", "job")
UNSEEN = re.compile(r"[\0-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")


def visible(text: str) -> str:
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def visible_lines(text: str) -> str:
    """As ``visible``, with newlines and tabs as they are."""
    return UNSEEN.sub(lambda found: found[0] if found[0] in "\n\t" else f"\\u{ord(found[0]):04x}", text)


def utf_16(text: str) -> bytes:
    """The order in which JavaScript sorts texts."""
    return text.encode("utf-16-be")


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
    terms = browser.run("[...document.querySelectorAll('.config dt')].map((e) => e.textContent)")
    assert terms == [f"{visible(key)}.{visible(key)}" for key in sorted(names, key=str.encode)]  # the server's order
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


@pytest.mark.slow
def test_hostile_words_about_a_run_are_shown_as_text_and_do_nothing(server, browser, canary):
    names = hostile(canary)
    tags = [name for name in names if len(name.encode()) <= 128 and name.strip()]
    place = project(server, "hostile words")
    runs = [new_run(server, place, name=name) for name in names]
    provenance = {name: {name: name} for name in names} | dict(zip(PROVENANCE, names, strict=False))
    provenance["git"] = {"commit": names[0], "branch": names[3], "dirty": names[5]}
    said = {"tags": tags, "group": names[0], "job_type": names[3], "notes": "\n".join(names), "provenance": provenance}
    fault = json.dumps({"type": names[0], "message": names[3], "traceback": "\n".join(names)}).encode()
    records = [("steplog/run", json.dumps(said).encode()), ("steplog/exception", fault), ("loss", 1.0, 0)]
    assert server.send(runs[0], range_of(records)).status_code == 200
    for run, name in zip(runs[1:], names[1:], strict=True):
        words = json.dumps({"group": name, "tags": [tags[0]], "description": name}).encode()
        assert server.send(run, range_of([("steplog/run", words)])).status_code == 200
    assert server.ask("PATCH", runs[0], json={"status": "CRASHED"}).status_code == 200
    Canary.visited.clear()
    browser.size(1200, 12_000)
    browser.open(address(server, runs[0]))
    browser.wait(f"{DRAWN} === 1")
    browser.run("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    texts = "[...document.querySelectorAll('{}')].map((each) => each.textContent)"
    assert browser.run(texts.format(".content .tags li")) == [visible(tag) for tag in tags]
    assert browser.run("document.querySelector('.notes p').textContent") == visible_lines("\n".join(names))
    assert browser.run("document.querySelector('.exception pre').textContent") == visible_lines("\n".join(names))
    facts = dict(zip(browser.run(texts.format(".facts dt")), browser.run(texts.format(".facts dd")), strict=True))
    assert (facts["Group"], facts["Job type"]) == (visible(names[0]), visible(names[3]))
    rows = dict(
        zip(browser.run(texts.format(".provenance dt")), browser.run(texts.format(".provenance dd")), strict=True)
    )
    assert rows["Command"] == visible(names[4])
    assert rows["Git"] == f"{visible(names[0][:12])} on {visible(names[3])}, changes unknown"
    assert {f"{visible(name)}.{visible(name)}" for name in names} <= set(rows)
    browser.open(address(server, place))
    browser.wait(f"document.querySelectorAll('.runs li').length === {len(names)}")
    groups = browser.run(texts.format(".choice select[aria-label=Group] option"))
    assert groups == ["Any group", *(visible(name) for name in sorted(names, key=utf_16))]
    for tag in tags[:3]:
        browser.open(address(server, f"{place}?{urlencode({'tag': tag})}"))
        browser.wait("document.querySelectorAll('.runs li').length > 0")
    assert browser.run("document.querySelector('.choice select[aria-label=Tag]').value") == tags[2]
    for run in runs[1:]:
        assert server.ask("DELETE", run).status_code == 204
    browser.open(address(server, f"{place}?trash=1"))
    browser.wait(f"document.querySelectorAll('.trash li').length === {len(names) - 1}")
    assert browser.run(texts.format(".trash .name")) == [visible(name) for name in reversed(names[1:])]
    commands = browser.run(texts.format(".trash code"))
    assert all(re.fullmatch(r"steplog restore [\w.-]+", command) for command in commands)
    browser.open(address(server, runs[1]))
    browser.wait("document.getElementById('notice').textContent.includes('steplog restore')")
    made = "script, img, svg, iframe, style, link, base, meta, object, embed, [onload], [onerror], [onclick]"
    assert browser.run(f"document.querySelectorAll('main :is({made})').length") == 0
    assert browser.run("window.pwned ?? null") is None
    assert [line for line in browser.complaints if "404" not in line] == []
    assert (browser.dialogs, Canary.visited) == ([], [])
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
