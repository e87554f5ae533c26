"""Wandb's log of records: whole ones, spread ones, and where reading ends."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steplog.formats.wandb.log import MAGIC, WandbLog

BLOCK = 32 * 1024


def written(records: list[bytes]) -> bytes:
    """As LevelDB writes it, by its description."""
    log = bytearray(MAGIC)
    for record in records:
        rest, is_first = record, True
        while is_first or rest:
            room = BLOCK - len(log) % BLOCK
            if room < 7:
                log += bytes(room)
                room = BLOCK
            part, rest = rest[: room - 7], rest[room - 7 :]
            kind = (1 if is_first else 4) if not rest else (2 if is_first else 3)
            log += struct.pack("<IHB", zlib.crc32(bytes((kind,)) + part), len(part), kind) + part
            is_first = False
    return bytes(log)


def read(data: bytes) -> tuple[list[bytes], str | None]:
    log = WandbLog()
    return list(log.records(io.BytesIO(data).read)), log.damage


sizes = st.one_of(
    st.integers(0, 60), st.sampled_from((BLOCK - 21, BLOCK - 20, BLOCK - 14, BLOCK - 7, BLOCK, 3 * BLOCK))
)
logs = st.lists(sizes, max_size=8).map(lambda found: [bytes((place,)) * size for place, size in enumerate(found)])


@settings(deadline=None, max_examples=60)
@given(logs)
def test_records_come_back_however_they_lie_in_blocks(records):
    assert read(written(records)) == (records, None)


@settings(deadline=None, max_examples=60)
@given(logs, st.data())
def test_a_log_that_is_cut_gives_the_records_that_are_whole(records, data):
    log = written(records)
    cut = data.draw(st.integers(len(MAGIC), len(log)))
    found, damage = read(log[:cut])
    assert found == records[: len(found)]
    assert (damage is None) or damage.startswith("it ends within a record, at byte ")
    if cut == len(log):
        assert found == records


def test_a_changed_byte_ends_reading_at_its_record():
    records = [b"one", b"two" * 20_000, b"three"]
    log = written(records)
    for place, whole in ((len(MAGIC) + 1, 0), (len(MAGIC) + 8, 0), (BLOCK + 100, 1), (len(log) - 1, 2)):
        changed = bytearray(log)
        changed[place] ^= 1
        found, damage = read(bytes(changed))
        assert found == records[:whole]
        assert damage is not None
        assert damage.startswith("the checksum of a record is wrong, at byte ")


def fragment(kind: int, data: bytes = b"x") -> bytes:
    return struct.pack("<IHB", zlib.crc32(bytes((kind,)) + data), len(data), kind) + data


@pytest.mark.parametrize("kinds", [(3,), (4,), (2, 1), (2, 2), (0,), (5,)])
def test_fragments_out_of_order_end_reading(kinds):
    found, damage = read(MAGIC + b"".join(map(fragment, kinds)))
    assert found == []
    assert damage is not None
    assert damage.startswith("a record's fragments are out of order, at byte ")


def test_another_version_is_not_read():
    assert read(b":W&B\xe1\xbe\x01" + fragment(1)) == ([], "it is of another version or no file of wandb's, at byte 0")
    assert read(b"") == ([], None)
