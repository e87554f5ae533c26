"""Sound, films, pages, tables and histograms among the samples, and hostile ones."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from page import axe
from page.canary import Canary
from page.looking import hostile
from page.media_files import apng, flat, png, record, run_of, samples_of, text, wav

REFUSED = ("Content Security Policy", "Blocked form submission")
INSIDE = "document.querySelector('iframe').contentDocument"
HEADS = "document.querySelector('.sample thead').innerText.trim().split(/\\s+/)"
CELLS = "[...document.querySelectorAll('.sample tbody tr')].map((row) => row.innerText.trim().split(/\\s+/))"
NO_MEDIA: list[Any] = [
    {"_type": "image", "file": "../../../../session", "type": "image/png"},
    {"_type": "image", "file": "//127.0.0.1/x"},
    {"_type": "image", "file": ["0" * 32]},
    {"_type": "script", "file": "0" * 32},
    {"_type": "toString", "file": "0" * 32},
    {"_type": "histogram", "values": [1, "2"], "bins": [0, 1, 2]},
    {"_type": "histogram", "values": [1, 2], "bins": [0, 1]},
    {"_type": "table", "columns": "ab", "data": [[1, 2]]},
    {"_type": "table", "columns": ["a"], "data": [1]},
]
FILM = """(async () => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const drawing = canvas.getContext("2d");
  const recorder = new MediaRecorder(canvas.captureStream(30), { mimeType: "video/webm" });
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const stopped = new Promise((done) => (recorder.onstop = done));
  recorder.start();
  for (let at = 0; at < 12; at++) {
    drawing.fillStyle = at % 2 ? "red" : "blue";
    drawing.fillRect(0, 0, 64, 64);
    await new Promise((done) => setTimeout(done, 30));
  }
  recorder.stop();
  await stopped;
  return btoa(String.fromCharCode(...new Uint8Array(await new Blob(parts).arrayBuffer())));
})()"""


def report(canary: str) -> str:
    """A page with styles and an image of its own, which also tries what no page may."""
    image = base64.b64encode(png(flat(10, 200, 10))).decode()
    bad = f"window.pwned=1;parent.pwned=1;fetch('//{canary}/script')"
    return f"""<!doctype html><html onclick="{bad}"><head><base href="//{canary}/base/">
    <meta http-equiv="refresh" content="0;url=//{canary}/refresh"><link rel="stylesheet" href="//{canary}/css">
    <style>h1 {{ color: rgb(200, 0, 80) }} @import "//{canary}/import";
    body {{ background: url(//{canary}/back) }}</style>
    <script>{bad}</script><script src="//{canary}/js"></script></head><body onload="{bad}">
    <h1 style="text-decoration: underline; background: url(//{canary}/inline)">Report</h1>
    <img id="own" src="data:image/png;base64,{image}"><img src="//{canary}/img" onerror="{bad}">
    <img src=x onerror="{bad}">
    <a id="out" href="//{canary}/link" target="_top">out</a> <a href="javascript:{bad}">run</a>
    <form action="//{canary}/form"><button id="send">send</button></form>
    <iframe src="//{canary}/frame"></iframe><iframe srcdoc="<script>parent.parent.pwned=1</script>"></iframe>
    <svg onload="{bad}"><script>{bad}</script><use href="//{canary}/use#x"></use></svg>
    <object data="//{canary}/object"></object><embed src="//{canary}/embed"><video src="//{canary}/film"></video>
    <p id="last">last</p></body></html>"""


@pytest.mark.slow
def test_sound_and_films_have_controls_and_a_length(server, pictures, kept):
    tone = kept.record("audio", "tone", "audio/wav", wav(0.5, 440), sample_rate=8000, caption="a tone")
    film = kept.record("video", "film", "video/webm", base64.b64decode(pictures.run(FILM)))
    run = run_of(server, "players", [("tone", text(tone), 0), ("film", text(film), 0)])
    samples_of(server, pictures, run.path, "&samples=tone")
    pictures.wait("Math.abs(document.querySelector('audio[controls]').duration - 0.5) < 0.01")
    assert pictures.run("document.querySelector('audio').getAttribute('aria-label')") == "a tone"
    samples_of(server, pictures, run.path, "&samples=film")
    pictures.wait("document.querySelector('video[controls]').videoWidth === 64")
    assert axe.violations(pictures) == []


@pytest.mark.slow
def test_sound_that_comes_later_is_played_then_and_what_is_none_is_said(server, pictures, kept):
    late = kept.record("audio", "late tone", "audio/wav", None)
    none = kept.record("audio", "no tone", "audio/wav", b"no sound at all")
    run = run_of(server, "late sound", [("late", text(late), 0), ("none", text(none), 0)])
    instead = "document.querySelector('.media-instead')?.textContent"
    with pictures.complaining("Failed to load resource"):
        samples_of(server, pictures, run.path, "&samples=late")
        pictures.wait(f"{instead} === 'This audio is not here yet.'")
        kept.bring("late tone", "audio/wav", wav(0.25, 300))
        pictures.wait("Math.abs(document.querySelector('audio').duration - 0.25) < 0.01")
        samples_of(server, pictures, run.path, "&samples=none")
        pictures.wait(f"{instead}?.startsWith('This audio cannot be shown.')")


def test_an_animation_is_an_image(server, pictures, kept):
    film = apng([flat(250, 0, 0), flat(0, 0, 250)], 20)
    run = run_of(server, "moves", [("film", text(kept.record("video", "moves", "image/apng", film)), 0)])
    samples_of(server, pictures, run.path)
    pictures.wait("document.querySelector('.media img')?.naturalWidth === 28")


def test_a_page_has_its_styles_and_images_and_runs_nothing(server, pictures, kept, canary):
    Canary.visited.clear()
    run = run_of(
        server, "pages", [("report", text(kept.record("html", "report", "text/html", report(canary).encode())), 0)]
    )
    with pictures.complaining(*REFUSED):  # as it is parsed
        samples_of(server, pictures, run.path)
        pictures.wait(f"{INSIDE}.getElementById('own')?.naturalWidth === 28")
        assert pictures.run(f"getComputedStyle({INSIDE}.querySelector('h1')).color") == "rgb(200, 0, 80)"
        assert pictures.run(f"getComputedStyle({INSIDE}.querySelector('h1')).textDecorationLine") == "underline"
        assert pictures.run("document.querySelector('iframe').getAttribute('sandbox')") == "allow-same-origin"
        pictures.wait("document.querySelector('iframe').clientHeight > 100")
        pictures.run(f"{INSIDE}.getElementById('out').click()")
        pictures.run(f"{INSIDE}.getElementById('send').click()")
        pictures.run(f"{INSIDE}.documentElement.click()")
        assert pictures.run(f"{INSIDE}.querySelectorAll('script, iframe, base, meta, link, object, embed').length") == 0
        assert pictures.run(f"{INSIDE}.getElementById('last').textContent") == "last"
        assert axe.violations(pictures, ".samples") == []
        pictures.by_role("button", "Source").click()
        pictures.wait("document.querySelector('.sample pre')?.textContent.includes('<h1 style=')")
        pictures.settle()
    assert pictures.run("[window.pwned ?? null, location.pathname]") == [None, run.path]
    assert Canary.visited == []


def test_a_table_in_a_file_is_sorted_as_numbers_and_has_images(server, pictures, kept):
    rows: list[list[Any]] = [[kept.image(f"cell {at}", flat(at, 9, 9)), at, f"row {at}", None] for at in range(250)]
    table = {"_type": "table", "columns": ["image", "n", "n", "empty"], "data": rows}
    held = kept.record("table", "table", "application/json", json.dumps(table).encode(), columns=["image"], rows=250)
    run = run_of(server, "tables in files", [("table", text(held), 0)])
    samples_of(server, pictures, run.path)
    pictures.wait("document.querySelectorAll('.sample tbody tr').length === 100")
    pictures.wait("document.querySelector('.cell-media img')?.naturalWidth === 28")
    assert pictures.run(HEADS) == ["image", "n", "n", "(2)", "empty"]
    pictures.by_role("button", "Sort by n").click(count=2)
    assert [row[0] for row in pictures.run(CELLS)[:3]] == ["249", "248", "247"]
    pictures.by_role("button", "Show more (150)").click()
    assert pictures.run("document.querySelectorAll('.sample tbody tr').length") == 200
    assert axe.violations(pictures, ".samples") == []


def test_a_small_table_is_in_its_record_and_may_be_empty(server, pictures):
    table = {"_type": "table", "columns": ["a", "b"], "data": []}
    run = run_of(
        server, "small tables", [("empty", text(table), 0), ("full", text(table | {"data": [[10, "x"], [9, "y"]]}), 0)]
    )
    samples_of(server, pictures, run.path, "&samples=empty")
    pictures.wait(f"{HEADS}.join() === 'a,b'")
    samples_of(server, pictures, run.path, "&samples=full")
    pictures.by_role("button", "Sort by a").click()
    assert pictures.run(CELLS) == [["9", "y"], ["10", "x"]]


def test_a_histogram_says_its_bins_to_keys_and_to_the_pointer(server, pictures):
    histogram = {"_type": "histogram", "values": [1, 0, 4, 2], "bins": [0, 0.5, 1, 1.5, 3]}
    run = run_of(server, "histograms", [("weights", text(histogram), 0)])
    samples_of(server, pictures, run.path)
    drawing = pictures.by_role("image", "Histogram from 0 to 3, 7 in 4 bins; most in 1 to 1.5: 4")
    drawing.press("ArrowRight", "ArrowRight", "ArrowRight")
    told = "document.querySelector('.histogram [role=status]').textContent"
    assert pictures.run(told) == "1 to 1.5: 4"
    drawing.press("End")
    assert pictures.run(told) == "1.5 to 3: 2"
    left, top, width, height = drawing.box
    pictures.move(left + width * 0.1, top + height / 2)
    pictures.wait(f"{told} === '0 to 0.5: 1'")
    bars = drawing.pixels()
    (low, _), (high, _) = bars.box("#3454c8", 80)[:2], (0, 0)
    assert low >= 0 == high
    assert axe.violations(pictures, ".samples") == []


def test_what_only_looks_like_media_is_a_tree_and_asks_for_nothing(server, pictures):
    run = run_of(server, "no media", [(f"odd {at}", text(value), 0) for at, value in enumerate(NO_MEDIA)])
    pictures.forget()
    samples_of(server, pictures, run.path, "&samples=" + ",".join(f"odd%20{at}" for at in range(len(NO_MEDIA))))
    pictures.wait(f"document.querySelectorAll('.sample-tree').length === {len(NO_MEDIA)}")
    assert not [url for url in pictures.requests if "/files/" in url]


def test_hostile_captions_and_types_are_text(server, pictures, kept, canary):
    Canary.visited.clear()
    values = [
        kept.image(f"bad {at}", flat(9, 9, at), caption=name) | {"type": name, "alt": name, "src": name}
        for at, name in enumerate(hostile(canary))
    ]
    odd = record("image", "bad 0", "image/png", width=10**12, height=-1, caption={"a": 1})
    other = {name: record("file", f"other {at}", name, size=name) for at, name in enumerate(hostile(canary))}
    run = run_of(server, "hostile media", [("list", text([*values, odd]), 0), ("files", text(other), 0)])
    samples_of(server, pictures, run.path, "&samples=list")
    pictures.wait("document.querySelectorAll('.sample .media img').length > 40")
    captions = pictures.run("[...document.querySelectorAll('.sample figcaption')].map((each) => each.textContent)")
    assert f"<img src=//{canary}/img>" in captions
    samples_of(server, pictures, run.path, "&samples=files")
    pictures.wait("document.querySelectorAll('.media-file').length > 30")
    links = pictures.run("[...document.querySelectorAll('.media-file a')].map((each) => each.getAttribute('href'))")
    assert all(link.startswith("/api/v0/") for link in links)
    assert pictures.run("window.pwned ?? null") is None
    assert (pictures.dialogs, Canary.visited) == ([], [])


def test_histograms_over_steps_are_a_map_that_leads_to_a_step(server, pictures):
    at = [0, 1, 2, 3, 4]
    records = [
        (
            "weights",
            text({"_type": "histogram", "values": [9 * (each == step // 10) for each in at[:4]], "bins": at}),
            step,
        )
        for step in range(0, 40, 10)
    ]
    run = run_of(server, "heat", [*records, ("weights", text("no histogram"), 35), (*records[-1][:2], 40)])
    samples_of(server, pictures, run.path)
    pictures.by_role("image", re.compile("^Histogram from 0 to 4")).found()
    pictures.run("document.querySelector('.heat summary').click()")
    drawing = pictures.by_role("image", "Histograms of steps 0 to 40, from 0 to 4")
    drawing.found()
    canvas = "document.querySelector('.heat canvas')"
    assert pictures.run(f"[{canvas}.width, {canvas}.height]") == [5, 96]
    pixels = pictures.run(f"[...{canvas}.getContext('2d').getImageData(0, 0, 5, 96).data]")
    alphas = [pixels[3 + 20 * row :: 4][:5] for row in (83, 59, 35, 11)]  # of each bin's middle, a step each
    assert alphas == [[255, 0, 0, 0, 0], [0, 255, 0, 0, 0], [0, 0, 255, 0, 0], [0, 0, 0, 255, 255]]
    left, top, width, height = drawing.box
    pictures.click_at(left + width * 0.3, top + height / 2)
    pictures.wait("document.querySelector('.samples-head h2').textContent === 'Step 10'")
    assert axe.violations(pictures, ".samples") == []
