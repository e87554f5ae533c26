"""What was written once is read for ever: the golden files never change, whatever the code does."""

from __future__ import annotations

import hashlib
import json
import zlib
from pathlib import Path

import pytest

from golden.make import range_of
from steplog.journal import frame
from steplog.journal import range as ranges
from strategies import whole_frames

HERE = Path(__file__).parent
DESCRIBED = json.loads((HERE / "range-v1.json").read_text("utf-8"))
DIGESTS = {
    "range-v1.bin": "d12a6e6dbf26ae1de77d4eca4ed84850e3fe2e3c7236b36e853a7ea669a389d1",
    "frame-v1.bin": "baf4ba76225ced1baccc4fdb16489beae1eba3718745e97c1eee8b439f4011c0",
    "database-v1.db.gz": "3041521066e42a73d3f0515458ccfba0d6cf653a3ad85fde2ba8275af932d920",  # by the server
    "database-v3.db.gz": "15a0978e5268c40cf075bba87f7915d03e5009b1e5d7c3399c11a2d5c28b8312",
    "database-v2.db.gz": "8075e373ece787f61a5ec109eb893e74ea9f45ef965c5a97527bb19aec1df954",  # of each version
    "database-v7.db.gz": "109e4b8d5fe8830cd483e19fa74991a6480d3f594fefd3dc21a44049b2f9649e",
    "machine-0.1.0.tar.gz": "17557f56f8e3f6d15801ad57b4614c14a10a63f1cc859e99966161b5818d82e9",
    "mlflow-3.17.db.gz": "aa89d7dc9d66e13ff2ceca92faf1ae2b6e6947ef89d185fed8369923f5354518",
    "mlruns-3.17.tar.gz": "16caa30ad25a3411c4574d3cf815c904c4598c44bb1410746cd02b4e68f5810e",
    "trackio-0.20.db.gz": "7aad8ac590a14cff9b29652ebaa1254dedbea6db03d7d923e7d78ebffb233d52",
    "trackio-0.43.db.gz": "5778cb3a0fc8be8708ac31fa2f6cd13b5c84fb0ef2e3afee630241295443447d",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_the_golden_file_is_the_one_that_was_written_first(name):
    assert hashlib.sha256((HERE / name).read_bytes()).hexdigest() == DIGESTS[name]


def test_the_body_of_version_1_is_read_as_its_description():
    assert ranges.decode((HERE / "range-v1.bin").read_bytes()) == range_of(DESCRIBED)


def test_the_frame_of_version_1_is_read_as_its_description():
    data = (HERE / "frame-v1.bin").read_bytes()
    assert whole_frames(data) == [(0, len(data))]
    assert frame.decode(data) == range_of(DESCRIBED)


def test_the_same_range_is_written_with_the_same_bytes_before_they_are_deflated():
    written = zlib.decompress(ranges.encode(range_of(DESCRIBED)))
    assert written == zlib.decompress((HERE / "range-v1.bin").read_bytes())
