"""Every view of the page, in every state that looks different: where it is, and what brings it there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from page.browser import Browser
from page.looking import Live, address, curve, marked, new_run, project
from page.media_files import deliver, flat, png
from server.process import KEY, ServerProcess

STEPS = 60
LOST = {"dropped": {"memory full": 41}, "abandoned": 1, "lost": 700, "rejected": 0}
TRACE = 'Traceback (most recent call last):\n  File "train.py", line 7, in <module>\nValueError: out of data'
DRAWN = "document.querySelectorAll('.chart-canvas[aria-busy=false]').length > 1"


@dataclass(frozen=True)
class Gallery:
    """A project with runs of all kinds, and one without any."""

    server: ServerProcess
    place: str
    run: str
    crashed: str
    empty: str

    def open(self, browser: Browser, view: View) -> None:
        """Go to a view and bring it to its state."""
        path = {"place": self.place, "run": self.run, "crashed": self.crashed, "empty": self.empty}
        at = address(self.server, view.path.format(**path))
        browser.open(at if view.signed_in else at.partition("#")[0])
        browser.wait("document.querySelector('main h1, dialog')")
        if view.shows:
            browser.wait(view.shows)
        if view.act:
            view.act(browser)


@dataclass(frozen=True)
class View:
    """``shows``: a script that says when it is there; ``act``: what a user does then."""

    path: str
    shows: str = ""
    act: Callable[[Browser], Any] | None = None
    signed_in: bool = True


def press(role: str, name: str | re.Pattern[str], then: str) -> Callable[[Browser], None]:
    """Click a button, by which a dialog, a menu or the like comes to be there."""

    def act(browser: Browser) -> None:
        browser.by_role(role, name, nth=0).click()
        browser.wait(then)

    return act


def sign_out_then_ask(browser: Browser) -> None:
    browser.by_role("button", "Sign in to edit").click()
    browser.by_role("dialog", "Sign in to edit").found()


def sign_in_to_edit(browser: Browser) -> None:
    """Sign in by a key, as a user does."""
    browser.by_role("button", "Sign in to edit").click()
    dialog = browser.by_role("dialog", "Sign in to edit")
    dialog.found()
    browser.run("document.querySelector('dialog input[type=password]').focus()")
    browser.call("Input.insertText", text=KEY)
    browser.press("Enter")
    dialog.gone()


OPENED = "document.querySelector('dialog[open], [popover]:popover-open, [role=menu], [role=listbox]')"
VIEWS: dict[str, View] = {
    "home": View("/", "document.querySelector('main td, main li')"),
    "workspace": View("{place}", DRAWN),
    "workspace of groups": View("{place}?group=group&smoothing=0.6&x=relative&logy=1", DRAWN),
    "workspace, zoomed, with pins": View(
        "{place}?range=10,30&pins=train%2Floss&charts=train%2Floss,eval%2Floss", DRAWN
    ),
    "columns": View("{place}", DRAWN, press("button", "Columns", OPENED)),
    "filters": View("{place}", DRAWN, press("button", "Filter", OPENED)),
    "groups": View("{place}", DRAWN, press("button", re.compile("^Group"), OPENED)),
    "menu of a chart": View("{place}", DRAWN, press("button", re.compile("^Menu of"), OPENED)),
    "menu of the charts": View("{place}", DRAWN, press("button", "More of the charts", OPENED)),
    "a wrong filter": View("{place}?where=lr%3E%3E", "document.querySelector('main').innerText.length > 10"),
    "no run matches": View("{place}?where=name%3Dnobody", "document.querySelector('main').innerText.length > 10"),
    "no metric matches": View("{place}?metrics=nothing", "document.querySelector('[role=tabpanel]')"),
    "large chart": View("{place}?large=train%2Floss", "document.querySelector('dialog[open] canvas')"),
    "samples of runs": View("{place}?tab=samples", "document.querySelector('[role=listbox] [role=option]')"),
    "images of a run": View(
        "{run}?tab=samples&samples=images,histogram,page,table", "document.querySelector('.media img')"
    ),
    "image in the whole window": View(
        "{run}?tab=samples&samples=images",
        "document.querySelector('.media img')",
        press("button", "no. 0", "document.querySelector('dialog[open] .zoom img')"),
    ),
    "files of a run": View(
        "{run}?tab=files",
        "document.querySelectorAll('.files .file').length > 3",
        press("button", "Show notes.txt", "document.querySelector('.file-shown pre')"),
    ),
    "artifacts of a project": View(
        "{place}?tab=files",
        "document.querySelector('.artifacts')",
        press("button", re.compile("^weights:v"), "document.querySelector('.file-shown .files')"),
    ),
    "table of figures": View("{place}?tab=table", "document.querySelectorAll('main table').length > 0"),
    "empty project": View("{empty}", "document.querySelector('main').innerText.length > 10"),
    "run": View("{run}", DRAWN),
    "crashed run": View("{crashed}", "document.querySelector('main pre')"),
    "samples of a run": View("{run}?tab=samples", "document.querySelector('[role=listbox] [role=option]')"),
    "trash": View("{place}?trash=1", "document.querySelector('main table td')"),
    "empty trash": View("{empty}?trash=1", "document.querySelector('main').innerText.includes('empty')"),
    "sign-in": View("{place}", "document.querySelector('main input')", signed_in=False),
    "sign-in to edit": View("{place}", DRAWN, sign_out_then_ask),
    "a run that is not there": View("{place}runs/nothing/"),
}


def log_media(server: ServerProcess, run: Live) -> None:
    """Media of some kinds, saved files and an artifact."""
    images = []
    for at in range(3):
        id_ = deliver(server, run, png(flat(80 * at, 90, 200)), "image/png")
        images.append({"_type": "image", "file": id_, "type": "image/png", "caption": f"no. {at}"})
    page = {"_type": "html", "file": deliver(server, run, b"<h1>A page</h1><p>of words</p>", "text/html")}
    histogram = {"_type": "histogram", "values": [1, 5, 2], "bins": [0, 1, 2, 4]}
    table = {"_type": "table", "columns": ["image", "n"], "data": [[image, at] for at, image in enumerate(images)]}
    for step in range(2):
        values = {"images": images, "page": page, "histogram": histogram, "table": table}
        run.log([(name, json.dumps(value).encode(), step) for name, value in values.items()])
    for path in ("notes.txt", "pictures/a.png", "pictures/b.png"):
        deliver(server, run, path.encode(), "", path=path)
    artifact = {"id": "a" * 32, "name": "weights", "type": "model", "digest": "0" * 64, "count": 1, "size": 5}
    artifact |= {"aliases": ["best"], "description": "the best", "metadata": {"lr": 0.1}}
    deliver(server, run, b"12345", "", path="model.bin", artifact=artifact)


def filled(server: ServerProcess) -> Gallery:
    """The gallery's projects."""
    place = project(server, "Gallery")
    runs = []
    for number, (group, status) in enumerate([("a", "COMPLETED"), ("a", "COMPLETED"), ("b", "COMPLETED"), ("b", "")]):
        config = {"lr": 0.1 / (1 + number), "model": {"layers": [64, 10 + number]}, "note": "x" * 60}
        run = Live(server, place, name=f"run {number}", config=config, group=group, tags=["sweep", f"n{number}"])
        names = ["train/loss", "train/accuracy", "eval/loss", "lr"]
        run.log_curves({name: curve(number * 10 + at, STEPS) for at, name in enumerate(names)})
        run.log_curves({"odd": marked(STEPS), "system/cpu": curve(99, STEPS)})
        texts = [json.dumps(f"what it says at {step}").encode() for step in range(0, STEPS, 10)]
        run.log([("text", text, 10 * at) for at, text in enumerate(texts)])
        run.log([("dict", json.dumps({"step": step, "list": [1, {"a": None}]}).encode(), step) for step in range(4)])
        if not number:
            log_media(server, run)
        if status:
            run.end(status)
        runs.append(run)
    fallen = Live(server, place, name="fallen", config={"lr": 1}, notes="a note\nof two lines")
    told = {"type": "ValueError", "message": "out of data", "traceback": TRACE}
    fallen.log([("train/loss", 1.0, 0), ("train/loss", 2.0, 1), ("steplog/exception", json.dumps(told).encode())])
    fallen.end("CRASHED", report=LOST)
    gone = new_run(server, place, name="deleted")
    assert server.ask("DELETE", gone).status_code == 204
    return Gallery(server, place, runs[0].path, fallen.path, project(server, "Nothing yet"))
