"""What the tests of the page look with: that it sees what is wrong."""

from __future__ import annotations

import math
import re
import struct
import zlib
from array import array

import numpy as np
import pytest

from page import axe
from page.looking import Live, address, project, sweep
from page.modules import JSMap, load, script_of
from page.pixels import decoded

DOCUMENT = """<!doctype html><html lang="en"><title>t</title><body style="margin:0"><h1>T</h1>
<button id="b" onclick="this.textContent += '!'">Go</button>
<input type="search" aria-label="Words"> <input type="checkbox" id="c"><label for="c">Ticked</label>
<div id="d" style="width:60px;height:40px;background:linear-gradient(90deg,#f00 50%,#00f 50%)"></div>
<div id="log"></div>
<script>
  const logged = document.querySelector("#log");
  const log = ({ type, key, deltaY }) => (logged.textContent += `${type}:${key ?? deltaY ?? ""} `);
  for (const kind of ["keydown", "wheel", "touchstart", "pointerup"]) addEventListener(kind, log);
</script>"""


@pytest.fixture
def document(browser, tmp_path):
    """A small page without a server; what it says on the console is its own."""
    file = tmp_path / "document.html"
    file.write_text(DOCUMENT, "utf-8")
    browser.open(file.as_uri())
    browser.wait("document.readyState === 'complete'")
    yield browser
    browser.forget()


def test_elements_are_found_by_role_and_name_and_used_as_a_user_does(document):
    go = document.by_role("button", re.compile("^Go"))
    go.click()
    go.press("Enter")
    assert go.text == "Go!!"
    assert go.focused
    assert document.focus == ("button", "Go!!")
    words = document.by_role("searchbox", "Words")
    words.type("Ab c")
    words.press("Control+a")
    document.type("x")
    assert words.value == "x"
    document.press("Tab", "Space")
    assert document.by_role("checkbox", "Ticked").states["checked"] == "true"
    assert document.names("button") == ["Go!!"]
    document.wheel(10, 10, down=40)
    document.touch((30, 30))
    document.wait("document.querySelector('#log').textContent.includes('touchstart')")
    told = document.run("document.querySelector('#log').textContent")
    assert "keydown:Enter" in told
    assert "keydown:A" in told
    assert "wheel:40" in told


def test_a_button_that_something_covers_is_not_clicked(document, monkeypatch):
    document.run("document.querySelector('#log').style.cssText = 'position: fixed; inset: 0'")
    monkeypatch.setattr("page.element.DEADLINE_S", 0.1)
    with pytest.raises(AssertionError, match="covered by"):
        document.by_role("button", "Go").click()


def test_pixels_are_those_on_the_screen(document):
    pixels = document.pixels("#d")
    assert (pixels.width, pixels.height) == (60, 40)
    assert (pixels.at(10, 20), pixels.at(50, 20)) == ((255, 0, 0), (0, 0, 255))
    assert pixels.count("#ff0000") == pixels.count("#0000ff") == 1200
    assert pixels.box("#0000ff") == (30, 0, 59, 39)
    assert pixels.heights("#ff0000")[3] == (0, 39)
    assert pixels.differing(document.pixels("#d")) == 0


def test_axe_finds_what_is_wrong(document):
    assert axe.violations(document, "#b") == []
    document.run("document.querySelector('h1').after(document.createElement('button'))")
    found = axe.violations(document)
    assert [line.split(" | ")[0] for line in found if "button" in line.split(" | ")[0]] == ["button-name"]


def test_axe_and_requests_work_under_the_pages_policy(server, browser):
    browser.open(address(server, "/"))
    browser.by_role("heading", "Projects").found()
    assert axe.violations(browser, "h1") == []
    assert browser.received_bytes > 1000
    assert browser.statuses[f"{server.url}/"] == [200]
    with browser.offline():
        assert browser.run("fetch('/').then(() => 'answered', () => 'away')") == "away"
    assert browser.run("fetch('/').then(() => 'answered')") == "answered"
    assert [line for line in browser.complaints if "ERR_INTERNET_DISCONNECTED" not in line] == []
    browser.complaints.clear()


def test_a_module_is_called_with_values_of_python(server, browser):
    values = load(browser, server, "data/values.js")
    assert values.call("many", 2, "run") == "2 runs"
    assert values.call("number", math.nan) == "NaN"
    assert [values.call("visible", text) for text in (" ", "\xa0\n", "a b ", "")] == [
        r"\u0020",
        r"\u00a0\u000a",
        "a b ",
        "",
    ]
    assert values.call("number", 2**60) == "1,152,921,504,606,846,976"
    assert values.run("[2n ** 60n, new Map([[1, Infinity]]), Float32Array.of(0.5), undefined, new Set([1])]") == [
        2**60,
        {1: math.inf},
        [0.5],
        None,
        [1],
    ]
    given = [array("d", [1.5, math.nan]), array("q", [-(2**60)]), JSMap({"a": [1]}), {"__proto__": None}]
    kinds = "((...all) => all.map((each) => Object.prototype.toString.call(each)))"
    assert values.run(f"{kinds}({', '.join(map(script_of, given))})") == [
        "[object Float64Array]",
        "[object BigInt64Array]",
        "[object Map]",
        "[object Object]",
    ]
    assert load(browser, server, "charts/palette.js").call("coloursOf", ["a"]).keys() == {"a"}
    assert browser.run("document.getElementById('page').innerText").strip() != "Projects"  # no view runs here


def test_a_project_is_filled_quickly_with_what_it_says(server):
    place, runs = sweep(server, "harness", runs=2, metrics=3, steps=40)
    table = server.ask("GET", f"{place}table/?columns=name,config.lr,train/metric_0.count&sort=name").json()
    assert len(table["rows"]) == 2
    assert table["rows"][0]["train/metric_0.count"] == 40
    live = Live(server, project(server, "harness live"), name="a")
    live.log([("loss", 1.0, 0)])
    live.log_curves({"loss": np.arange(5.0)}, first_step=1)
    assert [each["count"] for each in server.ask("GET", f"{live.path}series/").json()] == [6]


def test_png_files_are_decoded_as_they_were_written():
    rows = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    lines = bytearray()
    above = np.zeros((7, 3), int)
    for kind, row in enumerate(rows.astype(int)):
        left, before = np.roll(row, 1, axis=0), np.roll(above, 1, axis=0)
        left[0] = before[0] = 0
        near = np.abs([above - before, left - before, left + above - 2 * before]).argmin(axis=0)
        paeth = np.choose(near, [left, above, before])
        predicted = [0 * row, left, above, (left + above) // 2, paeth][kind]
        lines += bytes([kind]) + ((row - predicted) & 255).astype(np.uint8).tobytes()
        above = row

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 7, 5, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    assert (decoded(png).rgb == rows).all()


@pytest.mark.slow
def test_a_renewed_browser_keeps_nothing_of_the_one_before(browser, server):
    place = address(server, project(server, "kept"))
    held = "[document.cookie, localStorage.length]"
    browser.open(place)
    browser.wait("document.querySelector('main h1, main h2')")
    browser.run("document.cookie = 'a=b'; localStorage.setItem('kept', 'x')")
    browser.renew()
    browser.open(place.partition("#")[0])
    browser.by_role("heading", re.compile("sign in", re.I)).found()
    assert browser.run(held) == ["", 0]
