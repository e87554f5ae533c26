"""What is fuzzed of files that wait: media in memory, and what is known of files on disk."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import msgspec

from fuzz.mutation import changed, changed_value
from steplog.blobs.file_place import FilePlace
from steplog.blobs.raw_media import head_of, parsed
from steplog.errors import FormatError
from steplog.journal.files import Files
from steplog.media.encoding import encode

__all__ = ["check_medium", "check_unit", "mistaken_medium"]

_BYTES_MAX = 1 << 20  # that is made of a few bytes


def mistaken_medium(random: Random, data: bytes) -> bytes:
    """A sample with a mistake, often in its head alone."""
    if random.random() < 0.3:
        return changed(random, data)
    raw, content = parsed(data)
    head = msgspec.json.encode(changed_value(random, msgspec.to_builtins(raw)))
    return struct.pack("<I", len(head)) + head + content


def check_medium(data: bytes) -> None:
    """What is read is written and read again as it was; a file is made of it, or an error says why not."""
    with suppress(FormatError):
        raw, content = parsed(data)
        again = head_of(raw) + bytes(content)
        assert parsed(again)[0] == raw
        made = 0

        def write(piece: bytes) -> None:
            nonlocal made
            made += len(piece)
            assert made <= _BYTES_MAX

        with suppress(ValueError):
            encode(raw.encoding, content, write)


def check_unit(data: bytes, fresh: Callable[[], Path]) -> None:
    """What is read is written and read again as it was; what cannot be read is kept aside."""
    directory = fresh()
    path = directory / f"{'a' * 32}.json"
    path.write_bytes(data)
    path.chmod(0o600)
    place = FilePlace(directory, Files())
    place.look()
    found = place.units()
    place.left(), place.ids(), place.bytes_left()
    if not found:
        assert [one.name for one in directory.iterdir()] == [f"{path.name}.damaged"]
        return
    place.store(found[0])
    again = FilePlace(directory, Files())
    again.look()
    assert again.units() == found
