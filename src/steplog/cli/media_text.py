"""Values that are media, in a few words: ``image 28×28 image/png`` instead of their JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["media_text"]

_Words = Callable[[Mapping[str, Any]], "list[str]"]


def media_text(value: object) -> str:
    """The words for a value of media, or for a list of some; "" for any other value. What is in it is not checked."""
    if isinstance(value, list) and value:
        texts = [_one(each) for each in value]
        if not all(texts):
            return ""
        return texts[0] if len(texts) == 1 else f"{len(texts):,} × {texts[0]}"
    return _one(value)


def _one(value: object) -> str:
    kind = value.get("_type") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(kind, str):
        return ""
    if kind not in _KINDS and not isinstance(value.get("file"), str):
        return ""
    words = _KINDS[kind](value) if kind in _KINDS else []
    media_type, caption = value.get("type"), value.get("caption")
    words += [media_type] if isinstance(media_type, str) and kind != "table" else []
    words += [f'"{caption}"'] if isinstance(caption, str) and caption else []
    return " ".join(filter(None, [kind, *words]))


def _picture(value: Mapping[str, Any]) -> list[str]:
    width, height = value.get("width"), value.get("height")
    return [f"{width}×{height}"] if type(width) is int and type(height) is int else []


def _video(value: Mapping[str, Any]) -> list[str]:
    frames = value.get("frames")
    return [*_picture(value), *([_plural(frames, "frame")] if type(frames) is int else [])]


def _audio(value: Mapping[str, Any]) -> list[str]:
    duration_s = value.get("duration_s")
    return [f"{duration_s:.3g} s"] if isinstance(duration_s, (int, float)) else []


def _table(value: Mapping[str, Any]) -> list[str]:
    columns, rows = value.get("columns"), value.get("rows", value.get("data"))
    count = len(rows) if isinstance(rows, list) else rows
    words = [_plural(len(columns), "column")] if isinstance(columns, list) else []
    return [" × ".join([*([_plural(count, "row")] if type(count) is int else []), *words])]


def _histogram(value: Mapping[str, Any]) -> list[str]:
    counts, edges = value.get("values"), value.get("bins")
    if not isinstance(counts, list) or not isinstance(edges, list) or not counts or not edges:
        return []
    words = [_plural(len(counts), "bin")]
    if all(isinstance(edge, (int, float)) for edge in (edges[0], edges[-1])):
        words.append(f"{edges[0]:.4g} to {edges[-1]:.4g}")
    return [", ".join(words)]


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


_KINDS: dict[str, _Words] = {
    "image": _picture,
    "video": _video,
    "audio": _audio,
    "table": _table,
    "histogram": _histogram,
}
