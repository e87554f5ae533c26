"""What runs are called is text to the page, wherever it is from: nothing runs, nothing leaves, nothing hides."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from page.browser import Browser
from page.canary import Canary
from page.looking import Live, address, hostile, new_run, project
from polling import wait_until

UNSEEN = re.compile(r"[\0-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
ANY = re.compile(r"[\s\S]")
MADE = "script, img, iframe, style, link, base, meta, object, embed, form[action], [onload], [onerror], [onclick]"
HEADINGS = "[...document.querySelectorAll('article h3, .card h3')].map((each) => each.textContent)"
DRAWN = "document.querySelectorAll('.chart-canvas[aria-busy=false]').length > 1"
PROVENANCE = ("host", "user", "pid", "python", "command", "job")


def visible(text: str) -> str:
    """As ``visible`` of data/values.js."""
    return (UNSEEN if text.strip() else ANY).sub(lambda found: f"\\u{ord(found[0]):04x}", text)


@pytest.fixture(scope="module")
def attacked(server, canary) -> tuple[str, Live, list[str]]:
    """A project of hostile runs, one of which has hostile metrics, values, config, words and losses."""
    names = hostile(canary)
    place = project(server, "<img src=x onerror=alert(1)> hostile")
    provenance: dict[str, Any] = {name: {name: name} for name in names}
    provenance |= dict(zip(PROVENANCE, names, strict=False))
    provenance["git"] = {"commit": names[0], "branch": names[3], "dirty": names[5]}
    tags = [name for name in names if len(name.encode()) <= 128 and name.strip()]
    words = {"tags": tags, "group": names[0], "job_type": names[3], "notes": "\n".join(names), "provenance": provenance}
    config = {name: {name: name} for name in names}
    run = Live(server, place, name="attacked", description="\n".join(names), config=config, **words)
    fault = {"type": names[0], "message": names[3], "traceback": "\n".join(names)}
    records: list[Any] = [("steplog/exception", json.dumps(fault).encode())]
    records += [(name, float(at + step), step) for at, name in enumerate(names) for step in range(3)]
    records += [(f"text {at}", json.dumps(name).encode(), 0) for at, name in enumerate(names)]
    records += [("dict", json.dumps({name: [name] for name in names}).encode(), 0)]
    run.log(records)
    reasons = dict.fromkeys((name[:128] for name in names[:28]), 1)
    run.end("CRASHED", report={"dropped": reasons, "abandoned": 0, "lost": 0, "rejected": 0})
    for name in names:
        other = Live(server, place, name=name, group=name, tags=[tags[0]], description=name[:200])
        other.log([("loss", 1.0, 0), ("loss", 2.0, 1)])
    for name in names[:5]:
        gone = new_run(server, place, name=name)
        assert server.ask("DELETE", gone).status_code == 204
    return place, run, names


@pytest.fixture
def unharmed(server, browser, attacked) -> Iterator[Browser]:
    """A browser in which nothing of the names may come to life, in a window in which much is seen at once."""
    Canary.visited.clear()
    browser.size(1400, 6000)
    yield browser
    assert browser.run(f"document.querySelectorAll('main :is({MADE})').length") == 0
    assert browser.run("window.pwned ?? null") is None
    assert (browser.dialogs, Canary.visited) == ([], [])
    assert all(url.startswith((server.url, "about:blank", "blob:")) for url in browser.requests)


def test_hostile_runs_are_text_in_the_table_and_in_its_menus(server, unharmed, attacked):
    place, _, names = attacked
    unharmed.open(address(server, place + "?first=100"))
    unharmed.wait(f"document.querySelectorAll('[role=grid] a').length >= {len(names) + 1}")
    listed = unharmed.run("[...document.querySelectorAll('[role=grid] a bdi')].map((each) => each.textContent)")
    assert sorted(listed) == sorted([*map(visible, names), "attacked"])
    for button in ("Filter", "Group", "Columns"):
        unharmed.by_role("button", button, nth=0).click()
        unharmed.wait("document.querySelector('[popover]:popover-open, dialog[open], [role=menu]')")
        unharmed.press("Escape")


@pytest.mark.slow
def test_hostile_metrics_are_text_in_charts_and_what_is_made_of_them(server, unharmed, attacked):
    place, run, names = attacked
    unharmed.open(address(server, f"{run.path}?open=system"))
    unharmed.wait(DRAWN)
    shown = {visible(name) for name in names}
    unharmed.wait(f"new Set({HEADINGS}).size >= {len(shown)}")
    assert shown <= set(unharmed.run(HEADINGS))
    unharmed.open(address(server, f"{run.path}?{urlencode({'large': names[3]})}"))
    unharmed.by_role("dialog", nth=0).found()
    unharmed.press("Escape")
    unharmed.open(address(server, f"{place}?{urlencode({'pins': ','.join(map(quote, names[:6])), 'first': 100})}"))
    unharmed.wait(DRAWN)
    unharmed.open(address(server, f"{run.path}?tab=table"))
    unharmed.wait("document.querySelectorAll('main table tr').length > 10")


@pytest.mark.slow
def test_hostile_samples_are_text_as_text_and_as_trees(server, unharmed, attacked):
    _, run, names = attacked
    for metric in ("text 0", "text 3", "text 25", "dict"):
        unharmed.open(address(server, f"{run.path}?{urlencode({'tab': 'samples', 'metrics': metric})}"))
        unharmed.wait("document.querySelector('main article')")
        unharmed.settle()
    for name in names[:6]:
        unharmed.open(address(server, f"{run.path}?{urlencode({'tab': 'samples', 'metrics': name})}"))
        unharmed.wait("document.querySelector('main h1')")
        unharmed.settle()


def test_hostile_words_about_a_run_are_text_on_its_page(server, unharmed, attacked):
    _, run, names = attacked
    unharmed.open(address(server, run.path))
    unharmed.wait("document.querySelector('main pre')")
    unharmed.run("document.querySelectorAll('details').forEach((each) => (each.open = true)), 1")
    text = unharmed.run("document.querySelector('main').textContent")
    for name in names:
        if name.strip():
            assert visible(name) in text
    terms = unharmed.run("[...document.querySelectorAll('details dt')].map((each) => each.textContent)")
    assert {f"{visible(name)}.{visible(name)}" for name in names} <= set(terms)


@pytest.mark.slow
def test_hostile_runs_are_text_at_home_in_the_trash_and_where_nothing_is(server, unharmed, attacked):
    place, _, _ = attacked
    for path in ("/", f"{place}?trash=1", f"{place}?{urlencode({'group': 'group', 'first': 100})}"):
        unharmed.open(address(server, path))
        unharmed.wait("document.querySelector('main h1')")
        unharmed.settle()
    with unharmed.complaining("404"):
        for name in ("<svg onload=alert(1)>", "%00", "..", "\u202ex", "é" * 100):
            unharmed.open(address(server, f"{place}runs/{quote(name, safe='')}/"))
            unharmed.wait("document.querySelector('main h1, #notice:not(:empty)')")


NONSENSE = [
    "where=%3Cscript%3Ealert(1)%3C/script%3E",
    "where=" + "a" * 3000,
    "where=lr%3D%22%5Cud800%22",
    "sort=%5D%5B",
    "sort=-__proto__",
    "columns=%25%25,__proto__,config.constructor,%E0%A4%A",
    "group=config.__proto__",
    "group=constructor",
    "x=__proto__&smoothing=NaN&logx=2&tab=evil",
    "smoothing=1e308&first=-1",
    "first=1e9",
    "range=NaN,Infinity",
    "range=5,5",
    "range=1,2,3",
    "range=-1e308,1e308",
    "range=9007199254740993,9007199254740994&x=time",
    "metrics=/(/",
    "metrics=/(a%2B)%2B$/",
    "pins=" + ",".join(["x"] * 2000),
    "pins=%25,%25E0%25A4%25A,__proto__",
    "charts=;;,;,__proto__;" + ",".join(map(str, range(500))),
    "open=__proto__&closed=constructor",
    "with=__proto__,not-a-uuid&without=%3Cimg%3E",
    "step=1e999&tab=samples",
    "step=99999999999999999999&tab=samples",
    "large=nothing%20of%20this%20name",
    "large=__proto__&log=__proto__",
    "trash=%3Cscript%3E",
    "%F0%28%8C%28=1&==&&&",
]


@pytest.mark.slow
def test_an_address_with_nonsense_in_it_shows_the_view_all_the_same(server, browser):
    place = project(server, "nonsense")
    run = Live(server, place, name="a", config={"lr": 1})
    run.log([("a" * 24 + "!", float(step), step) for step in range(5)])
    run.log([("text", b'"x"', 0)])
    for query in NONSENSE:
        for path in (place, run.path):
            with browser.complaining("400", "404"):
                browser.open(address(server, f"{path}?{query}"))
                browser.wait("document.querySelector('main h1')")
                browser.settle()
            assert browser.complaints == [], (path, query)
            assert browser.run("document.querySelector('main').innerText.trim() !== ''"), (path, query)


@pytest.mark.slow
def test_the_policy_keeps_markup_and_code_from_working_even_if_a_view_made_them(server, browser, canary):
    """What is shown as text everywhere would do no harm either if it once were not."""
    browser.open(address(server, "/"))
    browser.wait("document.querySelector('main h1')")
    Canary.visited.clear()
    with browser.complaining("Content Security Policy", "TrustedHTML", "violates the following", "Trusted Type"):
        assert browser.run("(() => { try { document.body.innerHTML = '<b>x</b>' } catch (e) { return e.name } })()")
        image = f"Object.assign(document.createElement('img'), {{ src: '//{canary}/img' }})"
        browser.run(f"document.body.append({image}), 1")
        wait_until(lambda: browser.run("1") and any("/img" in line for line in browser.complaints))
    assert browser.run("window.pwned ?? null") is None
    assert Canary.visited == []
    browser.requests[:] = [url for url in browser.requests if canary not in url]


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
