"""The tab of files: what a run has saved, its artifacts, and those of a project."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from page import axe
from page.browser import Answer, Browser
from page.looking import Live, address, hostile, project
from page.media_files import Kept, file_id, flat, png

NAMES = "[...document.querySelectorAll('.files .fold-name')].map((each) => each.innerText.trim())"
TOTAL = "document.querySelector('.files-tab p.figures[role=status]').textContent"
NOW_NS = 1_790_000_000_000_000_000


class Catalogue(Kept):
    """Contents, and the lists of files and artifacts."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[dict[str, Any]] = []
        self.artifacts: list[dict[str, Any]] = []
        self.used: list[dict[str, Any]] = []
        self.inside: list[dict[str, Any]] = []  # the files of each artifact

    def save(self, path: str, content: bytes | None, media_type: str = "", size: int | None = None) -> None:
        """A file of the run, which has come unless ``content`` is None."""
        if content is not None:
            self.bring(path, media_type, content)
        length = len(content or b"") if size is None else size
        told = {"id": file_id(path), "sha256": "0" * 64, "size": length, "type": media_type, "path": path, "suffix": ""}
        self.files.append(told | {"time": NOW_NS, "present": content is not None})

    def log(self, name: str, version: int, **fields: Any) -> dict[str, Any]:
        """A version of an artifact."""
        told = {"uuid": f"{name} {version}", "name": name, "type": "model", "version": version, "digest": "0" * 64}
        told |= {"count": 2, "size": 3 << 20, "present": 2, "aliases": [], "description": "", "metadata": {}}
        told |= {"run": "", "run_name": "", "date_created": "2026-01-02T03:04:05.000000Z"} | fields
        return told

    def respond(self, method: str, url: str) -> Answer | None:
        if re.search(r"/runs/[^/]+/files/\?", url):
            return as_json([each for each in self.files if "after=" not in url])
        if "/artifacts/?used_by=" in url:
            return as_json(self.used)
        if re.search(r"/artifacts/(\?run=[^&]+)?$", url):
            return as_json(self.artifacts)
        if found := re.search(r"/artifacts/([^/]+)/v(\d+)/$", url):
            return as_json(self.log(found[1], int(found[2])) | {"files": self.inside})
        return super().respond(method, url)


def as_json(value: Any) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue()


@pytest.fixture
def shelves(browser: Browser, catalogue: Catalogue) -> Iterator[Browser]:
    """A browser that gets the catalogue's lists and contents."""
    with browser.answering(catalogue.respond, "*/api/*/files/*", "*/api/*/artifacts/*"):
        yield browser
        browser.open("about:blank")


def files_of(server: Any, browser: Browser, path: str) -> None:
    browser.open(address(server, f"{path}?tab=files"))
    browser.wait("document.querySelector('.files, .files-coming, [role=tabpanel] .empty')")


@pytest.fixture
def run(server, request) -> Live:
    return Live(server, project(server, request.node.name[:60]), name="a")


def test_saved_files_are_a_tree_with_sizes_downloads_and_a_search(server, shelves, catalogue, run):
    for at in range(40):
        catalogue.save(f"checkpoints/step {at}/model.pt", b"", size=1 << 20)
    catalogue.save("config.yaml", b"lr: 0.1\n")
    catalogue.save("pictures/deep/a.png", png(flat(250, 0, 0)), "image/png")
    catalogue.save("pictures/late.png", None, "image/png", size=2048)
    files_of(server, shelves, run.path)
    assert shelves.run(NAMES) == ["checkpoints", "pictures", "deep", "a.png", "late.png", "config.yaml"]
    assert shelves.run(TOTAL).startswith("43 files, 40.0 MiB")
    late = "[...document.querySelectorAll('.file')].find((each) => each.innerText.includes('late.png'))"
    assert shelves.run(f"{late}.innerText").split("\n") == ["late.png", "2.0 KiB, not here yet"]
    assert shelves.run(f"{late}.querySelector('a, button')") is None
    link = shelves.by_role("link", "Download config.yaml").run("function () { return this.getAttribute('href') }")
    assert f"{run.path}files/{file_id('config.yaml')}?binding=" in link
    shelves.by_role("button", "checkpoints").press("Enter")
    shelves.by_role("button", "step 7").press("Enter")
    shelves.by_role("link", "Download model.pt", nth=0).found()
    shelves.by_role("searchbox", "Search these files").fill("step 39")
    shelves.wait(f"{TOTAL} === '1 of 43 files, 1.0 MiB'")


def test_what_a_browser_can_show_is_shown_in_place(server, shelves, catalogue, run):
    catalogue.save("a.png", png(flat(250, 0, 0)), "image/png")
    catalogue.save("config.yaml", b"lr: 0.1\n# <b>\n")
    catalogue.save("model.pt", b"123")
    files_of(server, shelves, run.path)
    assert not shelves.by_role("button", "Show model.pt").there()
    shelves.by_role("button", "Show a.png").click()
    shelves.wait("document.querySelector('.file-shown img')?.naturalWidth === 28")
    shelves.by_role("button", "image of a.png").click()
    shelves.by_role("dialog", "image of a.png").found()
    assert not shelves.by_role("button", "Next step").there()
    shelves.press("Escape")
    shelves.by_role("button", "Show config.yaml").click()
    shelves.wait("document.querySelector('.file-shown pre')?.textContent.includes('lr: 0.1\\n# <b>')")
    assert axe.violations(shelves, ".files-tab") == []


def test_a_file_saved_again_is_there_once_and_comes_without_loading_the_page(server, shelves, catalogue, run):
    catalogue.save("log.txt", b"one")
    catalogue.save("log.txt", b"one and two")
    files_of(server, shelves, run.path)
    assert shelves.run(TOTAL) == "1 file, 11 B"
    catalogue.save("more.txt", b"x")
    shelves.run("document.dispatchEvent(new Event('visibilitychange'))")
    shelves.wait(f"{TOTAL} === '2 files, 12 B'")


def test_versions_of_artifacts_open_to_what_is_in_them(server, shelves, catalogue, run):
    metadata = {"lr": 0.1, "seen": 2**60}
    catalogue.artifacts = [
        catalogue.log(
            "mnist cnn", 3, aliases=["latest", "best"], description="the <best>", metadata=metadata, present=1
        ),
        catalogue.log("mnist cnn", 2),
    ]
    catalogue.used = [catalogue.log("digits", 0, type="dataset", run=run.uuid, run_name="maker")]
    catalogue.inside = [{"path": "in/weights #1?.bin", "sha256": "0" * 64, "size": 1 << 20, "present": True}]
    files_of(server, shelves, run.path)
    shelves.wait("document.querySelectorAll('.artifacts > li').length === 3")
    newest = "document.querySelector('.artifacts > li').innerText"
    assert all(said in shelves.run(newest) for said in ("mnist cnn:v3", "model", "best", "1 not here yet", "3.0 MiB"))
    shelves.by_role("region", "Artifacts used").found()
    assert "digits:v0" in shelves.by_role("region", "Artifacts used").text
    shelves.by_role("button", "mnist cnn:v3").press("Enter")
    link = shelves.by_role("link", "Download weights #1?.bin").run("function () { return this.getAttribute('href') }")
    assert "/artifacts/mnist%20cnn/v3/files/in/weights%20%231%3F.bin?binding=" in link
    assert "1,152,921,504,606,846,976" in shelves.run(newest)
    assert "the <best>" in shelves.run(newest)
    assert axe.violations(shelves, ".files-tab") == []


def test_a_project_has_the_artifacts_of_all_its_runs(server, shelves, catalogue, run):
    place = run.path.partition("/runs/")[0] + "/"
    files_of(server, shelves, place)
    assert shelves.run("document.querySelector('[role=tabpanel] h2').textContent") == "No artifacts"
    catalogue.artifacts = [catalogue.log("cnn", at, run=run.uuid, run_name="a") for at in range(150)]
    files_of(server, shelves, place)
    shelves.wait("document.querySelectorAll('.artifacts > li').length === 100")
    link = "document.querySelector('.artifacts a').getAttribute('href')"
    assert shelves.run(link) == run.path
    shelves.by_role("button", "Show more (50)").click()
    shelves.wait("document.querySelectorAll('.artifacts > li').length === 150")


def test_files_that_are_on_their_way_are_counted(server, shelves, catalogue, run):
    told = server.ask("PATCH", run.path, json={"files_pending": 3})
    assert told.status_code == 200, told.text
    files_of(server, shelves, run.path)
    shelves.wait("document.querySelector('.files-coming')?.textContent === '3 files on their way.'")
    assert "3 files on their way" in shelves.by_role("region", "Facts").text


def test_a_run_without_files_says_how_to_save_some(server, shelves, catalogue, run):
    files_of(server, shelves, run.path)
    shelves.wait("document.querySelector('.empty pre')?.textContent.includes('run.save(')")


def test_hostile_names_of_files_and_artifacts_are_text(server, shelves, catalogue, run, canary):
    names = [name for name in hostile(canary) if not re.search(r"[\x00-\x1f\x7f/]", name)]
    for name in names:
        catalogue.save(f"{name}.txt", b"x")
        catalogue.save(f"folder/{name}", b"x")
    catalogue.artifacts = [catalogue.log(name, 1, type=name, aliases=[name], run_name=name) for name in names]
    shelves.size(1400, 4000)
    files_of(server, shelves, run.path)
    shelves.wait(f"document.querySelectorAll('.artifacts > li').length === {len(names)}")
    assert shelves.run("document.querySelectorAll('.files-tab :is(script, img, iframe, style, link)').length") == 0
    assert shelves.run("window.pwned ?? null") is None


def test_files_fit_a_phone_in_both_schemes(server, shelves, catalogue, run):
    catalogue.save(f"folder/{'long ' * 30}name.txt", b"x")
    catalogue.save("a.png", png(flat(250, 0, 0)), "image/png")
    catalogue.artifacts = [catalogue.log("x" * 100, 3, aliases=["latest", "y" * 60], run=run.uuid, run_name="z" * 80)]
    for dark in (False, True):
        shelves.size(390, 844, dark=dark)
        files_of(server, shelves, run.path)
        shelves.wait("document.querySelectorAll('.artifacts > li').length === 1")
        assert shelves.overflowing() == []
        assert axe.violations(shelves, ".files-tab") == []
