"""Images among the samples: by step, side by side, enlarged; and what is said of those that are not there."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from page import axe
from page.browser import Browser
from page.looking import Live, project
from page.media_files import Kept, apng, file_id, flat, png, run_of, samples_of, text

IMAGES = "[...document.querySelectorAll('.sample .media img')]"
FILES = f"{IMAGES}.map((each) => /files\\/(\\w+)/.exec(each.src)[1])"
CAPTIONS = "[...document.querySelectorAll('.sample figcaption')].map((each) => each.textContent)"
NOT_THERE = "Failed to load resource"
STEPS = range(0, 200, 10)


def stepped(kept: Kept, prefix: str = "", steps: range = STEPS) -> list[Any]:
    """An image a step, of another colour each."""
    return [
        ("photo", text(kept.image(f"{prefix}{step}", flat(step, 90, 160), caption=f"{prefix}of {step}")), step)
        for step in steps
    ]


def shown(browser: Browser, *names: str) -> None:
    """Wait until these are what is shown, drawn."""
    wanted = ",".join(map(file_id, names))
    browser.wait(f"{FILES}.join() === '{wanted}' && {IMAGES}.every((each) => each.complete && each.naturalWidth)")


def test_images_are_gone_through_by_a_slider_and_the_list_goes_along(server, pictures, kept):
    run = run_of(server, "slider", stepped(kept))
    samples_of(server, pictures, run.path)
    shown(pictures, "190")
    slider = pictures.by_role("slider", "Step")
    slider.press("Home")
    shown(pictures, "0")
    slider.press("ArrowRight", "ArrowRight")
    shown(pictures, "20")
    assert pictures.run(CAPTIONS) == ["of 20"]
    chosen = pictures.by_role("option", re.compile("^20"))
    assert chosen.states["selected"] is True
    assert "image · 28 × 28 · of 20" in chosen.accessible_name
    pictures.by_role("button", "Sample before").click()
    shown(pictures, "10")
    assert pictures.by_role("slider", "Step").run("function () { return this.ariaValueText }") == "step 10"
    pictures.by_role("listbox", "Samples by step").press("End")
    shown(pictures, "190")
    samples_of(server, pictures, run.path, "&step=50")
    shown(pictures, "50")
    pictures.wait("document.querySelector('.samples-slider input').value === '5'")


def test_an_image_and_its_caption_stay_until_the_next_one_has_come(server, pictures, kept):
    run = run_of(server, "stays", stepped(kept))
    kept.held = {"30"}
    samples_of(server, pictures, run.path, "&step=10")
    shown(pictures, "10")
    slider = pictures.by_role("slider", "Step")
    slider.press("ArrowRight")
    shown(pictures, "20")
    slider.press("ArrowRight")
    pictures.wait("document.querySelector('.samples-head h2').textContent === 'Step 30'")
    pictures.wait("document.querySelector('.media-open').ariaBusy === 'true'")
    shown(pictures, "20")
    assert pictures.run(CAPTIONS) == ["of 20"]
    kept.held = set()
    pictures.let_go()
    shown(pictures, "30")
    assert pictures.run(CAPTIONS) == ["of 30"]


def test_what_is_shown_is_loaded_and_the_steps_beside_it_and_nothing_else(server, pictures, kept):
    run = run_of(server, "few", stepped(kept))
    pictures.forget()
    samples_of(server, pictures, run.path, "&step=100")
    shown(pictures, "100")

    def asked() -> set[str]:
        return {found[1] for url in pictures.requests if (found := re.search(r"/files/(\w+)", url))}

    pictures.wait("performance.getEntriesByType('resource').filter(({ name }) => name.includes('/files/')).length > 2")
    pictures.settle()
    assert asked() == {file_id(name) for name in ("90", "100", "110")}


def test_images_of_runs_are_side_by_side_at_the_nearest_step(server, pictures, kept):
    place = project(server, "images beside each other")
    Live(server, place, name="b").log(stepped(kept, "b ", range(0, 90, 15)))
    Live(server, place, name="a").log(stepped(kept, "a ", range(0, 90, 10)))
    samples_of(server, pictures, place, "&step=40")
    shown(pictures, "a 40", "b 45")
    assert "nearest: step 45" in pictures.by_role("article", "Sample of b").text
    assert pictures.run(CAPTIONS) == ["a of 40", "b of 45"]


def test_lists_and_objects_of_images_are_grids_and_others_trees_with_images(server, pictures, kept):
    many = [kept.image(f"grid {at}", flat(9, at, 200), caption=f"no. {at}") for at in range(200)]
    pair = {"input": many[0], "target": many[1]}
    deep = {"of": [{"image": many[2]}, 7]}
    run = run_of(server, "grids", [("many", text(many), 0), ("pair", text(pair), 0), ("deep", text(deep), 0)])
    samples_of(server, pictures, run.path, "&samples=many")
    pictures.wait(f"{IMAGES}.length === 48")  # of a value that is longer than what is read of a text
    pictures.by_role("button", "Show more (152)").click()
    pictures.wait(f"{IMAGES}.length === 96")
    assert pictures.run(CAPTIONS)[:2] == ["no. 0", "no. 1"]
    samples_of(server, pictures, run.path, "&samples=pair")
    shown(pictures, "grid 0", "grid 1")
    heads = "[...document.querySelectorAll('.media-grid h4')].map((each) => each.textContent)"
    assert pictures.run(heads) == ["input", "target"]
    samples_of(server, pictures, run.path, "&samples=deep")
    shown(pictures, "grid 2")
    assert "2 items" in pictures.run("document.querySelector('.sample-tree').innerText")


def test_a_small_image_is_enlarged_without_blurring(server, pictures, kept):
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:, 2:] = 255
    run = run_of(server, "small", [("photo", text(kept.image("edge", pixels)), 0)])
    samples_of(server, pictures, run.path)
    shown(pictures, "edge")
    drawn = pictures.by_role("button", "image of photo").pixels()
    assert drawn.width >= 190
    row = drawn.height // 2
    colours = {drawn.at(at, row) for at in range(4, drawn.width - 4)}
    assert colours == {(0, 0, 0), (255, 255, 255)}


def test_an_enlarged_image_is_zoomed_moved_and_goes_from_step_to_step(server, pictures, kept):
    run = run_of(server, "zoom", stepped(kept))
    samples_of(server, pictures, run.path, "&step=100")
    shown(pictures, "100")
    pictures.by_role("button", "of 100").click()
    pictures.by_role("dialog", "of 100").found()
    large = "document.querySelector('.zoom img')"
    size = f"{large}.getBoundingClientRect().width"
    pictures.wait(f"{size} > 600")
    whole = pictures.run(size)
    assert whole % 28 == 0
    pictures.press("+", "+")
    pictures.wait(f"Math.abs({size} - {whole} * 1.25 * 1.25) < 1")
    pictures.press("ArrowRight")  # moves what is larger than the window, and goes nowhere
    x, y = pictures.by_role("group", "Image").middle()
    before = pictures.run("document.querySelector('.zoom').scrollTop")
    pictures.drag((x, y), (x, y - 60))
    assert pictures.run("document.querySelector('.zoom').scrollTop") == pytest.approx(before + 60, abs=2)
    pictures.wheel(x, y, down=-100)
    pictures.wait(f"Math.abs({size} - {whole} * 1.25 ** 3) < 1")
    assert pictures.run(f"/files\\/(\\w+)/.exec({large}.src)[1]") == file_id("100")
    pictures.press("0")
    pictures.wait(f"{size} === {whole}")
    pictures.press("ArrowRight")
    pictures.by_role("dialog", "of 110").found()
    pictures.press("PageUp", "PageUp")
    pictures.by_role("dialog", "of 90").found()
    link = pictures.by_role("link", "Download this image").run("function () { return this.getAttribute('href') }")
    assert f"{run.path}files/{file_id('90')}?binding=" in link
    pictures.press("Escape")
    shown(pictures, "90")


def test_the_window_stays_open_at_a_step_whose_image_is_not_here(server, pictures, kept):
    records = stepped(kept, "gap ", range(0, 30, 10))
    records[1] = ("photo", text(kept.record("image", "gap", "image/png", None)), 10)
    run = run_of(server, "gap", records)
    with pictures.complaining(NOT_THERE):
        samples_of(server, pictures, run.path, "&step=0")
        shown(pictures, "gap 0")
        pictures.by_role("button", "gap of 0").click()
        pictures.by_role("dialog", "gap of 0").found()
        pictures.press("PageDown")
        pictures.by_role("dialog", "This image is not here").found()
        assert pictures.run("getComputedStyle(document.querySelector('.zoom img')).visibility") == "hidden"
        pictures.press("PageDown")
        pictures.by_role("dialog", "gap of 20").found()


def test_a_file_that_is_not_here_yet_is_said_and_shown_once_it_has_come(server, pictures, kept):
    late = kept.record("image", "late", "image/png", None, width=40, height=20)
    run = run_of(server, "late", [("photo", text(late), 0)])
    with pictures.complaining(NOT_THERE):
        samples_of(server, pictures, run.path)
        pictures.wait("document.querySelector('.media-instead')?.textContent === 'This image is not here yet.'")
        kept.bring("late", "image/png", png(flat(1, 2, 3)))
        shown(pictures, "late")


def test_what_is_no_image_is_said_and_can_be_downloaded(server, pictures, kept):
    run = run_of(server, "broken", [("photo", text(kept.record("image", "no", "image/png", b"not a PNG")), 0)])
    samples_of(server, pictures, run.path)
    pictures.wait("document.querySelector('.media-instead')?.textContent.startsWith('This image cannot be shown.')")
    link = pictures.by_role("link", "Download").run("function () { return this.getAttribute('href') }")
    assert file_id("no") in link


def test_what_moves_stands_still_where_no_motion_is_wanted(server, pictures, kept):
    frames = [flat(250, 0, 0), flat(0, 0, 250)]
    film = kept.record("video", "film", "image/apng", apng(frames, 40), width=28, height=28)
    run = run_of(server, "still", [("film", text(film), 0)])
    pictures.media(still=True)
    try:
        samples_of(server, pictures, run.path)
        pictures.wait("document.querySelector('.media canvas')")
        picture = "document.querySelector('.media canvas').getContext('2d').getImageData(5, 5, 1, 1).data.join()"
        pictures.wait(f"{picture} === '250,0,0,255'")
        pictures.by_role("button", "image of film").click()
        pictures.wait("document.querySelector('.zoom img').complete")
    finally:
        pictures.media()
    samples_of(server, pictures, run.path)
    shown(pictures, "film")


def test_images_are_accessible_and_fit_a_phone(server, pictures, kept):
    many = [kept.image(f"phone {at}", flat(9, at, 200), caption=f"no. {at}") for at in range(6)]
    run = run_of(server, "phone", [("many", text(many), 0), ("many", text(many), 1)])
    for dark in (False, True):
        pictures.size(390, 844, dark=dark)
        samples_of(server, pictures, run.path)
        pictures.wait(f"{IMAGES}.length === 6")
        assert pictures.overflowing() == []
        assert axe.violations(pictures) == []
    pictures.by_role("button", "no. 0").click()
    pictures.by_role("dialog", "no. 0").found()
    assert axe.violations(pictures) == []
