"""Pictures as the browser paints them: PNG files as arrays of colours, and what is looked for in them. Pure."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

CHANNELS = {2: 3, 6: 4}  # PNG's colour types that Chromium writes


@dataclass(frozen=True)
class Pixels:
    """``rgb``: height × width × 3."""

    rgb: Any

    @property
    def width(self) -> int:
        return int(self.rgb.shape[1])

    @property
    def height(self) -> int:
        return int(self.rgb.shape[0])

    def at(self, x: int, y: int) -> tuple[int, int, int]:
        red, green, blue = self.rgb[y, x]
        return int(red), int(green), int(blue)

    def near(self, colour: str, tolerance: int = 40) -> Any:
        """Which pixels have a colour, ``#rrggbb``; anti-aliased edges of lines are within the tolerance."""
        wanted = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
        return (np.abs(self.rgb.astype(int) - wanted) <= tolerance).all(axis=2)

    def count(self, colour: str, tolerance: int = 40) -> int:
        """How many pixels have a colour."""
        return int(self.near(colour, tolerance).sum())

    def colours(self) -> int:
        """How many different colours there are."""
        return len(np.unique(self.rgb.reshape(-1, 3), axis=0))

    def box(self, colour: str, tolerance: int = 40) -> tuple[int, int, int, int] | None:
        """Left, top, right and bottom of what has a colour."""
        found = np.argwhere(self.near(colour, tolerance))
        if not len(found):
            return None
        (top, left), (bottom, right) = found.min(axis=0), found.max(axis=0)
        return int(left), int(top), int(right), int(bottom)

    def heights(self, colour: str, tolerance: int = 40) -> dict[int, tuple[int, int]]:
        """The top and bottom of a colour in each column that has it: the course of a line."""
        near = self.near(colour, tolerance)
        return {
            int(x): (int(rows.min()), int(rows.max()))
            for x in np.flatnonzero(near.any(axis=0))
            for rows in [np.flatnonzero(near[:, x])]
        }

    def differing(self, other: Pixels, tolerance: int = 8) -> int:
        """How many pixels are not as in another picture of the same size."""
        apart = np.abs(self.rgb.astype(int) - other.rgb.astype(int)).max(axis=2)
        return int((apart > tolerance).sum())


def decoded(png: bytes) -> Pixels:
    """The pixels of a PNG file with eight bits a channel, not interlaced."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, data = 8, bytearray()
    width = height = channels = 0
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        body = png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour_type, _, _, interlaced = struct.unpack(">IIBBBBB", body)
            assert (depth, interlaced) == (8, 0)
            channels = CHANNELS[colour_type]
        elif kind == b"IDAT":
            data += body
        at += length + 12
    rows = np.frombuffer(zlib.decompress(bytes(data)), np.uint8).reshape(height, 1 + width * channels)
    pixels = np.zeros((height, width, channels), np.uint8)
    above = np.zeros((width, channels), np.uint8)
    for y in range(height):
        above = pixels[y] = _unfiltered(int(rows[y, 0]), rows[y, 1:].reshape(width, channels), above)
    return Pixels(pixels[:, :, :3])


def _unfiltered(kind: int, row: Any, above: Any) -> Any:
    """https://www.w3.org/TR/png-3/#9Filter-types"""
    if kind == 0:
        return row
    if kind == 1:
        return np.cumsum(row, axis=0, dtype=np.uint8)
    if kind == 2:
        return row + above
    made, over = row.astype(int), above.astype(int)
    left = before = np.zeros(row.shape[1], int)
    for x in range(len(made)):
        if kind == 3:
            predicted = (left + over[x]) // 2
        else:
            distances = np.abs([over[x] - before, left - before, left + over[x] - 2 * before])
            nearest = distances.argmin(axis=0)
            predicted = np.choose(nearest, [left, over[x], before])
        left = made[x] = (made[x] + predicted) & 255
        before = over[x]
    return made.astype(np.uint8)
