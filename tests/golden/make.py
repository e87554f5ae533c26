"""Writes the golden files of a new format version; those that exist are kept, since they bind for ever."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from steplog.journal import frame, slot
from steplog.journal import range as ranges

HERE = Path(__file__).parent
FLOATS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


def range_of(described: dict) -> ranges.Range:
    """The range that a JSON file of this directory describes."""
    names = {int(number): name for number, name in described["names"].items()}
    numbers = {name: number for number, name in names.items()}
    slots, payloads = bytearray(), bytearray()
    for record in described["records"]:
        if record is None:
            slots += bytes(slot.SLOT_BYTES)
            continue
        kind, value = record["kind"], record["value"]
        if kind == "float64":
            packed = slot.KIND_FLOAT, struct.pack("<d", FLOATS.get(value, value))
        elif kind == "json":
            text = value.encode()
            packed = slot.KIND_JSON, struct.pack("<II", len(payloads), len(text))
            payloads += text
        else:
            packed = {"int64": slot.KIND_INT, "bool": slot.KIND_BOOL}[kind], struct.pack("<q", value)
        step = slot.NO_STEP if record["step"] is None else record["step"]
        slots += struct.pack("<q8sqIHH", step, packed[1], record["time_ns"], numbers[record["name"]], 0, packed[0])
    first = described["first"]
    return ranges.Range(described["writer"], first, described["end"], names, bytes(slots), bytes(payloads))


def main() -> None:
    """Write what is missing."""
    described = json.loads((HERE / "range-v1.json").read_text("utf-8"))
    body = ranges.encode(range_of(described))
    for name, data in (("range-v1.bin", body), ("frame-v1.bin", frame.encode(body))):
        if not (HERE / name).exists():
            (HERE / name).write_bytes(data)


if __name__ == "__main__":
    main()
