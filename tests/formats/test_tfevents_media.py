"""Images, audio and histograms of event files are values whose files come along, and an export shows them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from formats.events import event, message, metadata, number, record, scalar, version
from formats.points import stretch
from steplog.formats import protobuf
from steplog.formats.imported import ImportedFile, ImportedRun
from steplog.formats.run_info import RunInfo
from steplog.formats.tfevents import runs as tfevents

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
WAV = b"RIFF\x10\0\0\0WAVEfmt "
DOUBLE, STRING = 2, 7


def strings(tag: str, plugin: str, *parts: bytes) -> bytes:
    held = message(8, number(1, STRING), message(2), *(message(8, part) for part in parts))
    return message(1, tag.encode()) + held + metadata(plugin)


def doubles(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}d", *numbers)


def real(field: int, value: float) -> bytes:
    return bytes((field << 3 | 1,)) + struct.pack("<d", value)


def run_of(folder: Path, *values: bytes) -> ImportedRun:
    folder.mkdir(parents=True, exist_ok=True)
    data = [record(version()), *(record(event(value, step=step)) for step, value in enumerate(values))]
    (folder / "events.out.tfevents.1795756477.host").write_bytes(b"".join(data))
    (run,) = tfevents.runs(folder)
    return run


def values_of(run: ImportedRun) -> dict[str, Any]:
    rows = [row for stream in run.streams for batch in stream.read() for row in zip(*batch, strict=True)]
    return {row[0]: json.loads(bytes(row[3])) if isinstance(row[3], msgspec.Raw) else row[3] for row in rows}


def contents(run: ImportedRun) -> dict[str, bytes]:
    found = {}
    for file in run.files():
        assert isinstance(file, ImportedFile)
        opened = file.open()
        assert opened is not None
        found[file.entry.id] = opened.read()
    return found


def test_images_of_both_forms_are_values_whose_files_come_along(tmp_path: Path):
    old = message(1, b"old") + message(4, number(1, 4), number(2, 6), message(4, PNG))
    run = run_of(tmp_path, old, scalar("loss", 1), strings("several", "images", b"6", b"4", PNG + b"1", PNG))

    values = values_of(run)

    one, two = values["several"]
    size = {"width": 6, "height": 4}
    assert values["old"] == {"_type": "image", "file": two["file"], "type": "image/png", **size}
    assert contents(run) == {one["file"]: PNG + b"1", two["file"]: PNG}
    assert values["loss"] == 1
    assert run.remarks() == []


@pytest.mark.parametrize("parts", [(WAV,), (WAV, b"label"), (WAV, b"")])
def test_audio_is_a_value_whose_file_comes_along(tmp_path: Path, parts: tuple[bytes, ...]):
    run = run_of(tmp_path, strings("sound", "audio", *parts))
    value = values_of(run)["sound"]
    assert (value["_type"], value["type"]) == ("audio", "audio/wav")
    assert contents(run) == {value["file"]: WAV}


def test_histograms_of_both_forms_are_values(tmp_path: Path):
    limits, counts = doubles(-1, 0, 1, 2, 3), doubles(0, 2, 0, 1.5, 0)
    old = message(1, b"old") + message(5, real(1, -0.5), real(2, 1.5), message(6, limits), message(7, counts))
    tensor = message(8, number(1, DOUBLE), message(2), message(4, doubles(0, 1, 5, 1, 2, 0)))
    run = run_of(tmp_path, old, message(1, b"new") + tensor + metadata("histograms"))

    assert values_of(run) == {
        "old": {"_type": "histogram", "values": [2, 0, 1.5], "bins": [-0.5, 0.0, 1.0, 1.5]},
        "new": {"_type": "histogram", "values": [5], "bins": [0.0, 1.0]},
    }


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (strings("x", "images", b"6", b"4", b"<svg>"), "images"),
        (strings("x", "images"), "images"),
        (strings("x", "audio", PNG), "audio clips"),
        (message(1, b"x") + message(5, message(6, doubles(1, 0)), message(7, doubles(1, 1))), "histograms"),
        (message(1, b"x") + message(5, message(6, doubles(1)), message(7, doubles(1, 1))), "histograms"),
    ],
)
def test_what_cannot_be_shown_is_counted(tmp_path: Path, value: bytes, kind: str):
    run = run_of(tmp_path, value, scalar("loss", 1))
    assert list(values_of(run)) == ["loss"]
    assert run.remarks() == [f"left out, since a run has no such values: {kind} (1)"]


def test_an_export_shows_media_and_gives_the_values_back(tmp_path: Path):
    image, sound = "1" * 32, "2" * 32
    (tmp_path / "image").write_bytes(PNG)
    (tmp_path / "sound").write_bytes(WAV)
    values = {
        "image": {"_type": "image", "file": image, "type": "image/png", "width": 6, "height": 4, "caption": "c"},
        "list": [{"_type": "image", "file": image, "type": "image/png"}] * 2,
        "sound": {"_type": "audio", "file": sound, "type": "audio/wav"},
        "hist": {"_type": "histogram", "values": [1, 2.5], "bins": [0, 1, 2]},
        "gone": {"_type": "image", "file": "3" * 32, "type": "image/png"},
        "page": {"_type": "html", "file": image, "type": "text/html"},
    }
    folder = tmp_path / "run"
    folder.mkdir()
    writer = tfevents.Writer(folder, {image: tmp_path / "image", sound: tmp_path / "sound"})
    writer.begin(RunInfo(id="x", name="x"))
    for name, value in values.items():
        writer.points(stretch(name, [value], 0))
    writer.close()

    (run,) = tfevents.runs(folder)
    assert values_of(run) == values
    shown = plugins(folder)
    assert {name: plugin for name, (plugin, _) in shown.items()} == {
        "image": "images",
        "list": "images",
        "sound": "audio",
        "hist": "histograms",
        "gone": "text",
        "page": "text",
    }
    assert shown["image"][1] == [b"6", b"4", PNG]
    assert shown["sound"][1] == [WAV, b""]


def plugins(folder: Path) -> dict[str, tuple[str, list[bytes]]]:
    """The plugin of each tag, and the strings of its tensor."""
    (path,) = folder.iterdir()
    data, found, at = path.read_bytes(), {}, 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        body = data[at + 12 : at + 12 + length]
        at += 16 + length
        for field in protobuf.fields(body):
            for inner in protobuf.fields(field.data) if field.number == 5 else ():
                parts = {each.number: each.data for each in protobuf.fields(inner.data)}
                about = next(each.data for each in protobuf.fields(parts[9]) if each.number == 1)
                plugin = next(each.data for each in protobuf.fields(about) if each.number == 1).decode()
                texts = [each.data for each in protobuf.fields(parts.get(8, b"")) if each.number == 8]
                found[parts[1].decode()] = plugin, texts
    found.pop("steplog/run")
    return found
