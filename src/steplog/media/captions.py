"""What is said beside an image, a sound or a video."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from steplog.media_value import Content

__all__ = ["CAPTION_CHARACTERS_MAX", "checked_caption", "with_caption"]

CAPTION_CHARACTERS_MAX = 65_536


def checked_caption(caption: Any) -> str | None:
    """The caption. Raises TypeError, ValueError."""
    if caption is None:
        return None
    if not isinstance(caption, str):
        raise TypeError(f"a caption is a str, not {type(caption).__name__}")
    if len(caption) > CAPTION_CHARACTERS_MAX:
        raise ValueError(f"a caption has {CAPTION_CHARACTERS_MAX:,} characters at most, not {len(caption):,}")
    return caption


def with_caption(content: Content, caption: str | None) -> Content:
    """The same, with its caption in the record."""
    return content if caption is None else replace(content, fields={**content.fields, "caption": caption})
