"""The docs build into a site without a warning; all its links lead somewhere; it needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from docs import adapters, names
from docs.site import ROOT, built

FETCHED = re.compile(
    r"""<(?:script|img|iframe)[^>]*\ssrc=["']([^"']+)|<link[^>]*\shref=["']([^"']+)|url\(["']?([^"')]+)"""
)
BASE = "http://site/"
PAGE_BYTES_MAX = 200_000
INDEX_BYTES_MAX = 1_000_000  # which a browser fetches at the first search


class Links(HTMLParser):
    """What a page of the site has: its title, how many first headings, ids, and links; also those of its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.title = ""
        self.first_headings = 0
        self.ids: list[str] = []
        self.links: list[str] = []
        self.links_of_text: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("title", "main", "footer"):
            self._open.append(tag)
        self.first_headings += tag == "h1"
        if identity := given.get("id"):
            self.ids.append(identity)
        if address := given.get("href") or given.get("src"):
            self.links.append(address)
            if self._open[-1:] == ["main"] and given.get("class") != "headerlink":
                self.links_of_text.append(address)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            self._open.remove(tag)

    def handle_data(self, data: str) -> None:
        if self._open == ["title"]:
            self.title += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Links]:
    """Each page by its address, as "first-steps/"."""
    files = site.rglob("index.html")
    return {address_of(file, site): Links(file.read_text("utf-8")) for file in files}


def address_of(file: Path, site: Path) -> str:
    folder = file.parent.relative_to(site).as_posix()
    return "" if folder == "." else f"{folder}/"


def written() -> set[str]:
    """The addresses that the sources have."""
    found = {file.relative_to(ROOT / "docs").with_suffix("").as_posix() for file in (ROOT / "docs").rglob("*.md")}
    return {"" if page == "index" else f"{page}/" for page in {*found, "changelog"}}


def test_every_page_is_built_and_found_by_the_search(site, pages):
    entries = json.loads((site / "search/search_index.json").read_text())["docs"]
    assert set(pages) == written()
    assert {entry["location"].split("#")[0] for entry in entries} == written()
    assert all(entry["page"] and entry["title"] for entry in entries)


def test_the_search_has_each_name_and_each_setting_by_its_address(site, pages):
    entries = json.loads((site / "search/search_index.json").read_text())["docs"]
    titles = {entry["title"] for entry in entries}
    called = [name.removeprefix("steplog.testing.").removeprefix("steplog.") for name in names.public()]
    assert [name for name in [*called, "finish_timeout_s", "url"] if name not in titles] == []
    assert [entry["location"] for entry in entries if entry["location"].split("#")[1] not in ids_of(pages, entry)] == []


def ids_of(pages: dict[str, Links], entry: dict[str, str]) -> list[str]:
    return pages[entry["location"].split("#")[0]].ids


def test_every_link_leads_to_a_page_and_a_place_on_it(site, pages):
    broken = []
    for address, page in pages.items():
        for link in page.links:
            target = urlsplit(urljoin(BASE + address, link))
            if target.netloc != "site":
                continue
            path = unquote(target.path.lstrip("/"))
            if path in pages:
                is_there = not target.fragment or unquote(target.fragment) in pages[path].ids
            else:
                is_there = (site / path).is_file()
            if not is_there:
                broken.append(f"{address}: {link}")
    assert broken == []


def test_a_broken_link_is_found_in_a_page():
    page = Links(
        '<title>A</title><main><h1 id="a">A</h1><a href="../b/#c">b</a></main><footer><a href="d">d</a></footer>'
    )
    assert (page.title, page.first_headings, page.ids) == ("A", 1, ["a"])
    assert (page.links, page.links_of_text) == (["../b/#c", "d"], ["../b/#c"])


def test_every_page_is_named_by_the_text_of_another_one(pages):
    """The list of pages is beside each; who reads is led on by the text."""
    named = {
        urlsplit(urljoin(BASE + address, link)).path.lstrip("/")
        for address, page in pages.items()
        for link in page.links_of_text
        if urlsplit(urljoin(BASE + address, link)).path.lstrip("/") != address
    }
    assert sorted(set(pages) - named - {"", "changelog/"}) == []


def test_every_page_has_a_title_of_its_own_one_first_heading_and_no_id_twice(pages):
    titles = Counter(page.title for page in pages.values())
    assert [title for title, number in titles.items() if number > 1] == []
    assert [address for address, page in pages.items() if page.first_headings != 1] == []
    twice = {address: [each for each, n in Counter(page.ids).items() if n > 1] for address, page in pages.items()}
    assert {address: found for address, found in twice.items() if found} == {}


def test_every_page_says_the_version_and_leads_to_what_has_changed(site, pages):
    for address, page in pages.items():
        assert version("steplog") in (site / address / "index.html").read_text("utf-8")
        assert BASE + "changelog/" in {urljoin(BASE + address, link) for link in page.links}, address


def test_a_name_a_command_and_a_setting_in_a_text_lead_to_their_entries(pages):
    wanted = {"python/runs/#init", "commands/#demo", "settings/#finish_timeout_s"}
    first = {urljoin(BASE + "first-steps/", link).removeprefix(BASE) for link in pages["first-steps/"].links_of_text}
    assert {"commands/#demo", "settings/#finish_timeout_s"} <= first
    everywhere = {
        urljoin(BASE + address, link).removeprefix(BASE) for address, page in pages.items() for link in page.links
    }
    assert wanted <= everywhere
    for name in adapters.modules():
        page = "compat" if name.startswith("steplog.compat.") else "integrations"
        assert f"python/{page}/#{names.anchor(name.removeprefix('steplog.'))}" in everywhere


def test_nothing_is_fetched_from_elsewhere(site):
    files = [file for file in site.rglob("*") if file.suffix in {".html", ".css"}]
    fetched = {part for file in files for found in FETCHED.findall(file.read_text("utf-8")) for part in found if part}
    assert fetched
    assert [address for address in fetched if re.match(r"(?:https?:)?//", address)] == []
    programs = [file.read_text("utf-8") for file in site.rglob("*.js") if file.name != "lunr.js"]
    assert programs
    assert [text for text in programs if "http:" in text or "https:" in text] == []


def test_no_page_is_long_to_load(site):
    sizes = {file.relative_to(site).as_posix(): file.stat().st_size for file in site.rglob("*.html")}
    assert {page: size for page, size in sizes.items() if size > PAGE_BYTES_MAX} == {}
    assert (site / "search/search_index.json").stat().st_size <= INDEX_BYTES_MAX


def test_an_address_that_is_not_there_is_answered_with_the_list_of_pages(site):
    page = Links((site / "404.html").read_text("utf-8"))
    assert {f"/{address}" for address in written()} - {"/"} <= {link.split("#")[0] for link in page.links}
