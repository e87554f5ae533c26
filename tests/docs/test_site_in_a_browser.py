"""The site in Chromium: what the search finds first, with which keys, and that pages fit a telephone and the dark."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from docs.site import built
from page.browser import CHROMIUM, Browser

PHONE = (390, 800)
DESK = (1360, 900)
FIRST = "document.querySelector('#site-results a')"
CONTRAST_MIN = 4.5
FOUND = {  # what somebody types: where one of the first three results leads
    "resume": "runs/#identity-and-resuming",
    "offline": "settings/#mode",
    "wandb": "coming-from/#wandb",
    "finish_timeout": "settings/#finish_timeout_s",
    "STEPLOG_URL": "settings/#url",
    "Run.log": "python/runs/#runlog",
    "steplog serve": "commands/#serve",
    "RunNotFoundError": "python/exceptions/#runnotfounderror",
    "pandas": "reading/#pandas-polars-duckdb",
    "log image": "python/media/#image",
}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    site = built(tmp_path_factory.mktemp("site"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium is installed here")
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def browser(process: Browser) -> Iterator[Browser]:
    """A browser that must see no message on the console, and no request off this machine."""
    process.forget()
    process.size(*DESK)
    yield process
    assert process.complaints == []
    assert [url for url in process.requests if not url.startswith(("http://127.0.0.1:", "about:"))] == []


def visit(browser: Browser, url: str) -> None:
    browser.open(url)
    browser.wait(f"location.href === {url!r} && document.readyState === 'complete'")


def search(browser: Browser, words: str) -> None:
    browser.run(
        f"{{const field = document.querySelector('#site-query'); field.value = {words!r};"
        " document.querySelector('#site-found').textContent = ''; field.dispatchEvent(new Event('input'))}"
    )
    browser.wait("document.querySelector('#site-found').textContent !== ''")


def test_the_search_finds_names_settings_commands_and_guides_first(browser, address):
    visit(browser, f"{address}/values/")
    browser.press("/")
    missed = {}
    for words, wanted in FOUND.items():
        search(browser, words)
        found = browser.run("[...document.querySelectorAll('#site-results a')].slice(0, 3).map((link) => link.href)")
        if f"{address}/{wanted}" not in found:
            missed[words] = found
    assert missed == {}


def test_a_search_is_made_and_followed_by_keys_alone(browser, address):
    visit(browser, f"{address}/")
    browser.press("/")
    browser.type("finish_timeout_s")
    browser.wait(f"{FIRST} !== null")
    browser.press("ArrowDown", "Enter")
    browser.wait("document.querySelector('tr:target td') !== null")
    assert browser.run("location.pathname") == "/settings/"
    assert browser.run("document.querySelector('tr:target td').textContent") == "finish_timeout_s"


def test_a_search_for_what_no_page_has_says_so(browser, address):
    visit(browser, f"{address}/")
    browser.press("/")
    search(browser, "qqqzzz")
    assert browser.run("document.querySelector('#site-found').textContent") == "Nothing has “qqqzzz”."


@pytest.mark.parametrize("page", ["", "first-steps/", "settings/", "python/runs/", "commands/", "guarantees/"])
def test_a_page_fits_a_telephone(browser, address, page):
    browser.size(*PHONE)
    visit(browser, f"{address}/{page}")
    assert browser.run("document.documentElement.scrollWidth") <= PHONE[0]


def test_the_pages_are_listed_on_a_telephone_at_a_touch(browser, address):
    browser.size(*PHONE)
    visit(browser, f"{address}/")
    shown = "document.querySelector('#site-pages').checkVisibility()"
    assert not browser.run(shown)
    browser.run("document.querySelector('#site-menu').click()")
    assert browser.run(shown)
    browser.press("Escape")
    assert not browser.run(shown)


def test_the_colours_are_those_of_the_system_until_others_are_chosen(browser, address):
    dark = "getComputedStyle(document.body).backgroundColor === 'rgb(22, 24, 28)'"
    browser.size(*DESK, dark=True)
    visit(browser, f"{address}/")
    assert browser.run(dark)
    browser.run("document.querySelector('#site-scheme').click()")
    assert not browser.run(dark)
    visit(browser, f"{address}/first-steps/")
    assert not browser.run(dark)
    browser.run("localStorage.clear()")


@pytest.mark.parametrize("dark", [False, True])
def test_texts_have_enough_contrast_in_both_schemes(browser, address, dark):
    browser.size(*DESK, dark=dark)
    visit(browser, f"{address}/python/runs/")
    low = browser.run(
        """(() => {
          const channel = (value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
          const light = (colour) => {
            const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((each) => channel(each / 255));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const behind = (element) => {
            const colour = getComputedStyle(element).backgroundColor;
            return colour === "rgba(0, 0, 0, 0)" && element.parentElement ? behind(element.parentElement) : colour;
          };
          const texts = [...document.querySelectorAll("body *")].filter((each) =>
            [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) &&
            each.checkVisibility({ opacityProperty: true }) && !each.matches(".headerlink, script, style"));
          return texts.map((each) => {
            const [one, other] = [light(getComputedStyle(each).color), light(behind(each))];
            return [each.outerHTML.slice(0, 60), (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05)];
          }).filter(([, contrast]) => contrast < LEAST).slice(0, 5);
        })()""".replace("LEAST", str(CONTRAST_MIN))
    )
    assert low == []
