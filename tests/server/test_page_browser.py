"""The page in a real browser: it shows what the server has, stays live, and takes every name for text."""

from __future__ import annotations

import http.server
import json
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from server.batches import range_of
from server.browser import CHROMIUM, Browser
from server.process import ServerProcess, wait_until
from steplog import instance

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed here")

CARDS = "[...document.querySelectorAll('.card h3')].map((each) => each.textContent)"
DRAWN = "document.querySelectorAll('.card canvas').length"
UNSEEN = re.compile(
    "[\0-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"  # noqa: PLE2502, PLE2515
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(autouse=True)
def _quiet(browser: Browser) -> Iterator[None]:
    """Whatever was shown: no dialog, nothing on the console, and no request to anyone but a server of this machine."""
    browser.forget()
    browser.size(1200, 800)
    yield
    browser.open("about:blank")
    assert browser.dialogs == []
    assert [line for line in browser.complaints if "net::ERR_CONNECTION_REFUSED" not in line] == []
    assert {re.sub(r":\d+/.*", "", url) for url in browser.requests} <= {"http://127.0.0.1", "about:blank"}


def address(server: ServerProcess, path: str) -> str:
    state = instance.read(server.state)
    assert state is not None
    return instance.page_url(state, path)


def project(server: ServerProcess, name: str) -> str:
    made = server.ask("POST", "/team/projects/", json={"display_name": name, "visibility": "TEAM"})
    assert made.status_code == 201, made.text
    return f"/team/projects/{made.json()['slug']}/"


def new_run(server: ServerProcess, place: str, **fields: Any) -> str:
    made = server.ask("POST", f"{place}runs/", json=fields)
    assert made.status_code == 201, made.text
    return f"{place}runs/{made.json()['uuid']}/"


def visible(text: str) -> str:
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def test_a_run_is_shown_at_its_web_address_and_the_token_leaves_the_address_bar(server, browser):
    place = project(server, "shown")
    run = new_run(server, place, name="First Run_1", description="what it is")
    records = [("steplog/config", b'{"lr": 0.1, "net": {"layers": [64, 10]}, "seed": 1152921504606846977}')]
    records += [("loss", 1 / (step + 1), step) for step in range(500)] + [("note", b'"so far so good"'), ("n", 3)]
    server.send(run, range_of(records))
    browser.open(address(server, f"{place}runs/first-run-1/"))
    browser.wait(f"{DRAWN} === 2")
    assert browser.run("location.href") == f"{server.url}{place}runs/first-run-1/"
    assert browser.run("document.title") == "First Run_1 · steplog"
    text = browser.run("document.querySelector('main').innerText")
    for said in (
        "First Run_1",
        "RUNNING",
        "what it is",
        "net.layers",
        "[64,10]",
        "1152921504606846977",
        "so far so good",
    ):
        assert said in text
    assert browser.run(CARDS) == ["loss", "note", "n"]
    assert "500 points" in browser.run("document.querySelector('.plot').getAttribute('aria-label')")
    browser.run("document.querySelectorAll('.views button')[1].click()")
    rows = browser.run(
        "[...document.querySelectorAll('tbody tr')].map((row) => [...row.cells].map((c) => c.innerText))"
    )
    assert rows[0] == ["loss", "0.002", "0.002", "1", "500", "0", "499"]
    assert [row[:2] for row in rows[1:]] == [["note", "so far so good"], ["n", "3"]]
    assert browser.run("location.search") == "?view=table"


def test_it_is_live_while_the_run_is_and_says_how_it_ended(server, browser):
    run = new_run(server, project(server, "live"), name="a")
    browser.open(address(server, run))
    browser.wait("document.body.innerText.includes('No metric yet')")
    server.send(run, range_of([("loss", 1.5, 0)]))
    browser.wait(f"{DRAWN} === 1 && document.querySelector('.last').textContent === '1.5'")
    trace = "Traceback (most recent call last):\n  File …\nValueError: <b>no</b>"
    told = {"type": "ValueError", "message": "<b>no</b>", "traceback": trace}
    server.send(run, range_of([("loss", float("nan"), 1), ("steplog/exception", json.dumps(told).encode())], first=1))
    server.ask("PATCH", run, json={"status": "CRASHED"})
    browser.wait("document.querySelector('.title .status').textContent === 'CRASHED'")
    browser.wait("document.querySelector('.exception summary bdi')?.textContent === 'ValueError: <b>no</b>'")
    assert browser.run("document.querySelector('.exception pre').textContent") == trace
    assert browser.run("document.querySelector('.last').textContent") == "NaN"
    assert browser.run(CARDS) == ["loss"]


def test_it_says_that_the_server_is_away_and_goes_on_when_it_is_back(browser, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with ServerProcess(tmp_path, "--port", str(port)) as server:
        run = server.new_run()
        browser.open(address(server, run))
        browser.wait("document.body.innerText.includes('No metric yet')")
        server.end()
        browser.wait("document.getElementById('notice').textContent.startsWith('The server does not answer')")
        server.start()
        server.send(run, range_of([("loss", 1.0, 0)]))
        browser.wait(f"{DRAWN} === 1 && document.getElementById('notice').textContent === ''")
        browser.open("about:blank")


def test_a_page_that_no_one_sees_asks_nothing(server, browser):
    run = new_run(server, project(server, "hidden"), name="a")
    browser.open(address(server, run))
    browser.wait("document.body.innerText.includes('No metric yet')")
    hide = "Object.defineProperty(document, 'hidden', {{value: {}, configurable: true}});"
    browser.run(hide.format("true") + "document.dispatchEvent(new Event('visibilitychange'))")
    browser.run("new Promise((done) => setTimeout(done, 500))")  # what was being asked is answered
    asked = len(browser.requests)
    browser.run("new Promise((done) => setTimeout(done, 3500))")
    assert len(browser.requests) == asked
    server.send(run, range_of([("loss", 1.0, 0)]))
    browser.run(hide.format("false") + "document.dispatchEvent(new Event('visibilitychange'))")
    browser.wait(f"{DRAWN} === 1")


def test_without_a_token_the_page_asks_for_it_and_another_tab_gives_it(server, browser):
    run = new_run(server, project(server, "asked"), name="a")
    browser.open(server.url + run + "#token=wrong")
    browser.wait("document.querySelector('form input')")
    assert browser.run("document.querySelector('main').innerText").startswith("This page needs its token")
    pasted = json.dumps(address(server, run))
    browser.run(f"document.querySelector('#token').value = {pasted}; document.querySelector('form').requestSubmit()")
    browser.wait("document.querySelector('.title')")
    with browser.another_tab():
        browser.open(server.url + run)
        browser.wait("document.querySelector('.title')")
    assert [line for line in browser.complaints if "401" not in line] == []
    browser.forget()


def test_what_is_not_there_is_said(server, browser):
    place = project(server, "there")
    browser.open(address(server, f"{place}runs/nothing/"))
    browser.wait("document.getElementById('notice').textContent === 'This run is not on the server.'")
    browser.open(address(server, "/team/projects/nothing/"))
    browser.wait("document.getElementById('notice').textContent === 'This project is not on the server.'")
    assert [line for line in browser.complaints if "404" not in line] == []
    browser.forget()


def test_the_lists_lead_to_the_runs(server, browser):
    place = project(server, "Listed Project")
    for number in range(103):
        new_run(server, place, name=f"run {number}", status="RUNNING" if number else "FAILED")
    browser.open(address(server, "/"))
    browser.wait(f"document.querySelector('a[href=\"{place}\"]')?.textContent === 'Listed Project'")
    browser.run(f"document.querySelector('a[href=\"{place}\"]').click()")
    browser.wait("document.querySelectorAll('.runs li').length === 100")
    assert browser.run("document.querySelector('.runs a').innerText").startswith("run 102")
    browser.run("document.querySelector('.more').click()")
    assert "FAILED" in browser.run("document.querySelector('.runs li:last-child').innerText")
    assert browser.run("document.querySelectorAll('.runs li').length") == 103
    browser.run("document.querySelector('.runs li:last-child a').click()")
    browser.wait("document.querySelector('h1')?.textContent === 'run 0'")


def test_a_thousand_metrics_cost_what_can_be_seen_of_them(server, browser):
    run = new_run(server, project(server, "many"), name="a")
    server.send(run, range_of([(f"layer {n}", float(step), step) for step in range(3) for n in range(1000)]))
    browser.open(address(server, run))
    browser.wait(f"{DRAWN} >= 6")
    assert browser.run("document.querySelectorAll('.card').length") == 48
    assert browser.run(DRAWN) < 30
    assert sum("?name=" in url for url in browser.requests) < 30
    browser.run("scrollTo(0, 4000)")
    browser.wait("document.querySelectorAll('.card')[30].querySelector('canvas')")
    browser.wait("!document.querySelectorAll('.card')[0].querySelector('canvas')")
    filter_ = "document.querySelector('input[type=search]')"
    browser.run(f"{filter_}.value = '99 LAYER'; {filter_}.dispatchEvent(new Event('input'))")
    browser.wait("document.querySelectorAll('.card').length === 19")
    assert "19 of 1,000 metrics" in browser.run("document.querySelector('.tools').innerText")


def test_it_fits_on_a_small_screen_and_is_used_with_keys(server, browser):
    run = new_run(server, project(server, "small"), name="a_run_with_a_rather_long_name_" + "x" * 60)
    server.send(run, range_of([("m" * 200, float(step), step * 10) for step in range(5)]))
    browser.size(360, 780)
    for view in ("curves", "table"):
        browser.open(address(server, f"{run}?view={view}"))
        browser.wait(f"{DRAWN} === 1" if view == "curves" else "document.querySelector('tbody tr')")
        assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [360, 360]
        assert browser.run(
            "[...document.querySelectorAll('main *')].every((e) => e.closest('.scroll, .plot') "
            "|| e.getBoundingClientRect().right <= 360)"
        )
    browser.open(address(server, run))
    browser.wait(f"{DRAWN} === 1")
    browser.run("document.querySelector('.plot').focus()")
    said = []
    for key in ("ArrowRight", "ArrowRight", "End", "Escape"):
        browser.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key)
        browser.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)
        browser.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        said.append(browser.run("document.querySelector('.readout').textContent"))
    assert said == ["step 0: 0", "step 10: 1", "step 40: 4", "5 points, steps 0 – 40"]


BIG = 2**63 - 1
STRANGE: dict[str, list[tuple[Any, int]]] = {
    "huge": [(1.7e308, 0), (-1.7e308, 1), (1e299, 2)],
    "small": [(5e-324, 0), (1e-323, 1)],
    "near": [(1e15, 0), (1e15 + 0.125, 1)],
    "nearer": [(1.0, 0), (1.0 + 2**-52, 1)],
    "last steps": [(1.0, BIG - 1), (2.0, BIG)],
    "all steps": [(1.0, -BIG), (2.0, BIG)],
    "backwards": [(1.0, 5), (2.0, 1), (3.0, 3), (4.0, 3)],
    "integers": [(BIG, 0), (-BIG - 1, 1)],
    "not finite": [(float("nan"), 0), (float("inf"), 1), (float("-inf"), 2)],
    "mixed": [(1.0, 0), (b'"text"', 1), (float("nan"), 2), (True, 3), (b"null", 4)],
    "beyond": [(b"1e400", 0), (b"123456789012345678901234567890", 1)],
}


def test_no_number_makes_the_page_hang(server, browser):
    """uPlot counts along an axis in steps; a step that a float cannot add would be counted for ever."""
    run = new_run(server, project(server, "strange"), name="a")
    server.send(run, range_of([(name, *point) for name, points in STRANGE.items() for point in points]))
    browser.size(1200, 2400)
    browser.open(address(server, run))
    browser.wait(f"{DRAWN} === {len(STRANGE)}")
    lasts = browser.run("[...document.querySelectorAll('.card')].map((c) => c.querySelector('.last').textContent)")
    assert dict(zip(STRANGE, lasts, strict=True)) == {
        "huge": "1e299",
        "small": "9.8813e−324",
        "near": "1e15",
        "nearer": "1",
        "last steps": "2",
        "all steps": "2",
        "backwards": "4",
        "integers": "−9,223,372,036,854,775,808",
        "not finite": "−∞",
        "mixed": "null",
        "beyond": "123,456,789,012,345,678,901,234,567,890",
    }


class Canary(http.server.BaseHTTPRequestHandler):
    """Where hostile names would lead a browser."""

    visited: list[str] = []  # noqa: RUF012 - the class's own

    def do_GET(self) -> None:
        self.visited.append(self.path)
        self.send_response(204)
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
        f'<iframe srcdoc="<script>parent.pwned=1</script>">',
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
    Canary.visited.clear()
    browser.size(1200, 12_000)
    browser.open(address(server, run))
    browser.wait(f"document.querySelectorAll('.card').length === 48 && {DRAWN} === {len(names)}")
    browser.run("document.querySelector('.grid + .more').click(); document.querySelector('.config').open = true")
    browser.wait(f"document.querySelectorAll('.card').length === {2 * len(names)}")
    shown = [visible(name) for name in names]
    texts = [f"text {at}" for at in range(len(names))]
    assert browser.run(CARDS) == shown + texts
    assert browser.run("[...document.querySelectorAll('pre.text:not([hidden])')].map((e) => e.textContent)") == shown
    assert browser.run("[...document.querySelectorAll('dt')].map((e) => e.textContent)") == [f"{n}.{n}" for n in shown]
    assert browser.run("[...document.querySelectorAll('.runs .name')].map((e) => e.textContent)") == [
        "attacked",
        *reversed(shown),
    ]
    browser.run("document.querySelectorAll('.views button')[1].click()")
    assert browser.run("[...document.querySelectorAll('tbody th')].map((e) => e.textContent)") == shown + texts
    made = "script, img, svg, iframe, style, link, base, meta, object, embed"
    assert (
        browser.run(
            f"document.querySelectorAll('main :is({made})').length + document.body.querySelectorAll('[onload], [onerror]').length"
        )
        == 0
    )
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
    """The same traps as above, where nothing holds them: what they would do is seen."""
    Canary.visited.clear()
    browser.open("about:blank")
    browser.run(f"document.body.innerHTML = \"<img src=//{canary}/a onerror='alert(7)'>\".replace('//', 'http://')")
    wait_until(lambda: browser.run("1") and browser.dialogs)
    assert (browser.dialogs, Canary.visited) == (["7"], ["/a"])
    browser.forget()
