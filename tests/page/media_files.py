"""Files of the kinds that runs log, made by the standard library, and runs whose records name them."""

from __future__ import annotations

import hashlib
import io
import json
import re
import secrets
import struct
import wave
import zlib
from typing import Any

import numpy as np

from page.browser import Answer, Browser, HeldBackError
from page.looking import Live, address, project
from server.process import ServerProcess

HEADERS = {
    "Cache-Control": "private, max-age=31536000, immutable",
    "Content-Disposition": "attachment",
    "Content-Security-Policy": "sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def file_id(name: str) -> str:
    """An id of a file, the same one each time."""
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def png(pixels: Any) -> bytes:
    """An image of height x width x 3 bytes."""
    return SIGNATURE + _header(pixels) + _chunk(b"IDAT", _compressed(pixels)) + _chunk(b"IEND", b"")


def apng(frames: Any, delay_ms: int = 250) -> bytes:
    """An animation that goes on for ever."""
    count = len(frames)
    made = SIGNATURE + _header(frames[0]) + _chunk(b"acTL", struct.pack(">II", count, 0))
    number = 0
    height, width, _ = frames[0].shape
    for at, pixels in enumerate(frames):
        control = struct.pack(">IIIIIHHBB", number, width, height, 0, 0, delay_ms, 1000, 0, 0)
        made += _chunk(b"fcTL", control)
        number += 1
        if at == 0:
            made += _chunk(b"IDAT", _compressed(pixels))
        else:
            made += _chunk(b"fdAT", struct.pack(">I", number) + _compressed(pixels))
            number += 1
    return made + _chunk(b"IEND", b"")


def wav(seconds: float, pitch_hz: float) -> bytes:
    """A tone."""
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        at = np.arange(int(8000 * seconds)) / 8000
        file.writeframes((np.sin(2 * np.pi * pitch_hz * at) * 12_000).astype("<i2").tobytes())
    return made.getvalue()


def flat(red: int, green: int, blue: int, height: int = 28, width: int = 28) -> Any:
    """Pixels of one colour."""
    return np.full((height, width, 3), (red, green, blue), np.uint8)


def record(kind: str, name: str, media_type: str, **fields: Any) -> dict[str, Any]:
    """What is logged of a file."""
    return {"_type": kind, "file": file_id(name), "type": media_type} | fields


def text(value: Any) -> bytes:
    """A value as it is delivered."""
    return json.dumps(value).encode()


def deliver(
    server: ServerProcess,
    run: Live,
    content: bytes,
    media_type: str,
    path: str = "",
    artifact: dict[str, Any] | None = None,
) -> str:
    """Give a server a file of a run, or the last one of an artifact, as an agent does; returns its id."""
    digest = hashlib.sha256(content).hexdigest()
    told = {"id": secrets.token_hex(16), "sha256": digest, "size": len(content), "type": media_type, "path": path}
    told |= {} if artifact is None else {"artifact": artifact["id"]}
    body = {"files": [told], "artifacts": [] if artifact is None else [artifact]}
    announced = server.ask("POST", f"{run.path}files/", json=body)
    assert announced.status_code == 200, announced.text
    if announced.json()["missing"]:
        span = {"Content-Range": f"bytes 0-{len(content) - 1}/{len(content)}"}
        put = server.ask("PUT", f"{run.path.partition('/runs/')[0]}/blobs/{digest}", data=content, headers=span)
        assert put.status_code in (200, 201), put.text
    return str(told["id"])


def run_of(server: ServerProcess, name: str, records: list[Any]) -> Live:
    """A project's only run."""
    run = Live(server, project(server, name), name="a")
    run.log(records)
    return run


def samples_of(server: ServerProcess, browser: Browser, path: str, query: str = "") -> None:
    """Go to the samples of a run or of a project."""
    browser.open(address(server, f"{path}?tab=samples{query}"))
    browser.wait("document.querySelector('.samples-head h2')")


class Kept:
    """Contents as a server keeps them, by the names that records were made with."""

    def __init__(self) -> None:
        self.held: set[str] = set()  # names of files that are not answered yet
        self._contents: dict[str, tuple[str, bytes]] = {}

    def record(self, kind: str, name: str, media_type: str, content: bytes | None, **fields: Any) -> dict[str, Any]:
        """The record of a file, which has come unless ``content`` is None."""
        if content is not None:
            self.bring(name, media_type, content)
        return record(kind, name, media_type, **fields)

    def image(self, name: str, pixels: Any, **fields: Any) -> dict[str, Any]:
        """The record of an image."""
        height, width, _ = pixels.shape
        return self.record("image", name, "image/png", png(pixels), width=width, height=height, **fields)

    def bring(self, name: str, media_type: str, content: bytes) -> None:
        """Have a content from now on."""
        self._contents[file_id(name)] = (media_type, content)

    def respond(self, method: str, url: str) -> Answer | None:
        """What a server answers to a request for a file."""
        found = re.search(r"/runs/[^/]+/files/([0-9a-f]{32})(?:\?|$)", url)
        if not found:
            return None
        if found[1] in {file_id(name) for name in self.held}:
            raise HeldBackError
        media_type, content = self._contents.get(found[1], ("", None))
        if content is None:
            return 404, {"Content-Type": "application/json"}, b'{"detail": "Not found."}'
        sniffed = media_type if media_type.startswith(("image/", "audio/", "video/")) else "application/octet-stream"
        return 200, HEADERS | {"Content-Type": sniffed}, b"" if method == "HEAD" else content


def _header(pixels: Any) -> bytes:
    height, width, _ = pixels.shape
    return _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def _compressed(pixels: Any) -> bytes:
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
