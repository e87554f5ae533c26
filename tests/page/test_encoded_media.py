"""The files that are made of arrays, as a browser decodes them."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest

from page.browser import Browser
from server.process import ServerProcess
from steplog.media.encoding import encode

BYTES = "Uint8Array.from(atob({0!r}), (letter) => letter.charCodeAt(0))"


def in_javascript(encoding: dict[str, Any], data: bytes) -> str:
    made = io.BytesIO()
    encode(encoding, data, made.write)
    return BYTES.format(base64.b64encode(made.getvalue()).decode())


@pytest.fixture
def open_page(browser: Browser, server: ServerProcess) -> Browser:
    browser.open(server.url)  # decoders are for pages that come from somewhere
    browser.settle()
    return browser


SIZE = {"width": 3, "height": 2, "channels": 3, "depth": 8}
PIXELS = bytes(range(0, 180, 10))
DEEP = b"".join(bytes([value, 0x55]) for value in range(0, 180, 10))


@pytest.mark.parametrize(("depth", "data"), [(8, PIXELS), (16, DEEP)], ids=["8 bits", "16 bits"])
def test_a_browser_shows_the_pixels_of_a_png(open_page, depth, data):
    made = in_javascript({"format": "png", **SIZE, "depth": depth}, data)
    shown = open_page.run(f"""(async () => {{
        const file = new Blob([{made}], {{type: "image/png"}});
        const image = await createImageBitmap(file);
        const drawing = new OffscreenCanvas(image.width, image.height).getContext("2d");
        drawing.drawImage(image, 0, 0);
        return [image.width, image.height, ...drawing.getImageData(0, 0, image.width, image.height).data];
    }})()""")
    assert shown[:2] == [3, 2]
    assert [value for place, value in enumerate(shown[2:]) if place % 4 < 3] == list(PIXELS)


def test_a_browser_plays_the_frames_of_an_animation(open_page):
    frames = b"".join(bytes([30 * number] * 9) + PIXELS[9:] for number in range(5))
    animation = {"format": "apng", **SIZE, "frames": 5, "delay": [1, 8]}
    played = open_page.run(f"""(async () => {{
        const decoder = new ImageDecoder({{data: {in_javascript(animation, frames)}, type: "image/png"}});
        await decoder.tracks.ready;
        const {{frameCount, repetitionCount, animated}} = decoder.tracks.selectedTrack;
        const found = [frameCount, repetitionCount === Infinity, animated];
        for (let frameIndex = 0; frameIndex < frameCount; frameIndex++) {{
            const {{image}} = await decoder.decode({{frameIndex}});
            const drawing = new OffscreenCanvas(3, 2).getContext("2d");
            drawing.drawImage(image, 0, 0);
            const pixels = drawing.getImageData(0, 0, 3, 2).data;
            found.push([image.duration, pixels[0], pixels[22]]);
        }}
        return found;
    }})()""")
    assert played == [5, True, True, *([125_000, 30 * number, PIXELS[-1]] for number in range(5))]


def test_a_browser_hears_the_samples_of_a_wav(open_page):
    samples = b"".join(value.to_bytes(2, "little", signed=True) for value in (0, 16384, -16384, 8192) * 100)
    heard = open_page.run(f"""(async () => {{
        const context = new OfflineAudioContext(1, 1, 8000);
        const file = {in_javascript({"format": "wav", "sample_rate": 8000, "channels": 2}, samples)};
        const sound = await context.decodeAudioData(file.buffer);
        const first = [...sound.getChannelData(0).slice(0, 2)], second = [...sound.getChannelData(1).slice(0, 2)];
        return [sound.sampleRate, sound.numberOfChannels, sound.length, ...first, ...second];
    }})()""")
    assert heard == pytest.approx([8000, 2, 200, 0, -0.5, 0.5, 0.25], abs=1e-4)
