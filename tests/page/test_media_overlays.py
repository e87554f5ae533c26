"""Boxes and masks over an image, as wandb's images have them."""

from __future__ import annotations

import numpy as np

from page import axe
from page.media_files import file_id, flat, run_of, samples_of, text

BOXES = """[...document.querySelectorAll('.sample .box')].map((box) => {
  const [inner, outer] = [box, box.parentElement].map((each) => each.getBoundingClientRect());
  return [inner.left - outer.left, inner.top - outer.top, inner.width, inner.height]
    .map((each, at) => Math.round((100 * each) / (at % 2 ? outer.height : outer.width)));
})"""
LABELS = "[...document.querySelectorAll('.sample .box bdi')].map((each) => each.textContent)"
ALPHAS = """(() => {
  const mask = document.querySelector('.sample .mask');
  const pixels = mask.getContext('2d').getImageData(0, 0, mask.width, mask.height).data;
  return [[0, 0], [10, 2], [2, 10]].map(([x, y]) => pixels[4 * (y * mask.width + x) + 3]);
})()"""


def test_boxes_and_masks_are_over_the_image_until_they_are_taken_away(server, pictures, kept):
    classes = np.zeros((20, 20, 3), np.uint8)
    classes[:8, 8:] = 1
    classes[8:, :8] = 2
    labels = {"0": "nothing", "1": "car", "2": "<b>dog</b>"}
    corners = {"position": {"minX": 0.1, "maxX": 0.5, "minY": 0.2, "maxY": 0.6}, "class_id": 1}
    middle = {"position": {"middle": [75, 50], "width": 30, "height": 20}, "domain": "pixel", "box_caption": "<i>a"}
    wrong = [{"position": {"minX": "0", "maxX": 1, "minY": 0, "maxY": 1}}, {"position": None}, 7]
    value = kept.image("scene", flat(9, 9, 9, 100, 100)) | {
        "boxes": {"seen": {"box_data": [corners, middle, *wrong], "class_labels": labels}, "odd": 3},
        "masks": {
            "seen": {"mask": kept.image("classes", classes), "class_labels": labels},
            "odd": {"mask": {"_type": "image", "file": "../x"}},
        },
    }
    run = run_of(server, "overlays", [("scene", text(value), 0)])
    samples_of(server, pictures, run.path)
    pictures.wait("document.querySelectorAll('.sample .box').length === 2")
    assert pictures.run(BOXES) == [[10, 20, 40, 40], [60, 40, 30, 20]]
    assert pictures.run(LABELS) == ["car", "<i>a"]
    pictures.wait("document.querySelector('.sample .mask').width === 20")
    assert pictures.run(ALPHAS) == [0, 130, 130]
    classes_told = "[...document.querySelectorAll('.classes li')].map((each) => each.innerText.trim())"
    assert pictures.run(classes_told) == ["car", "<b>dog</b>"]
    assert axe.violations(pictures, ".samples") == []
    pictures.by_role("button", "image of scene car <i>a").click()
    pictures.wait("document.querySelectorAll('.zoom .box').length === 2")
    pictures.press("Escape")
    pictures.by_role("checkbox", "Boxes and masks").click()
    pictures.wait("document.querySelectorAll('.sample :is(.box, .mask, .classes)').length === 0")
    assert file_id("scene") in pictures.run("document.querySelector('.sample img').src")
