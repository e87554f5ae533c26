"""What every content store does: parts come to a whole, which is checked, put in its place, read and removed."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fsspec", reason="needs fsspec: pip install 'steplog[objects]'")

from steplog.server.blobs.content_store import ContentStore, WrongContentError
from steplog.server.blobs.folder import FolderContents
from steplog.server.blobs.object_store import ObjectContents
from steplog.server.blobs.open_contents import open_contents

STORES: dict[str, Callable[[Path], ContentStore]] = {
    "folder": lambda path: open_contents(path / "blobs"),
    "file": lambda path: open_contents(f"file://{path}/objects/blobs"),
    "memory": lambda path: open_contents(f"memory://{path.name}/blobs"),
}
KEY = "0f-1"


@pytest.fixture(params=STORES)
def contents(request: pytest.FixtureRequest, tmp_path: Path) -> ContentStore:
    return STORES[request.param](tmp_path)


def sha_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(contents: ContentStore, data: bytes, key: str = KEY) -> str:
    """Upload a content in parts; its hash."""
    at, sha256 = 0, sha_of(data)
    while at < len(data):
        at = contents.append(key, at, data[at : at + 100_000])
    contents.verify(key, sha256, len(data))
    contents.put(key, sha256)
    return sha256


def plant(contents: ContentStore, name: str) -> None:
    """Put something of somebody else's into the place."""
    if isinstance(contents, FolderContents):
        (contents.root / name).write_bytes(b"x")
    else:
        assert isinstance(contents, ObjectContents)
        contents._files.pipe_file(f"{contents._root}/{name}", b"x")


@pytest.mark.parametrize("size", [0, 1, 100_000, 2_500_001])
def test_a_content_comes_back_as_it_was_sent(contents, size):
    data = random.Random(size).randbytes(size)
    sha256 = put(contents, data)
    assert contents.size(sha256) == size
    assert b"".join(contents.read(sha256, 0, size)) == data
    assert contents.uploaded(KEY) == 0


@pytest.mark.parametrize(("first", "end"), [(0, 1), (99_999, 100_001), (1_999_999, 2_000_000), (5, 5)])
def test_a_part_of_a_content_is_read(contents, first, end):
    data = random.Random(1).randbytes(2_000_000)
    assert b"".join(contents.read(put(contents, data), first, end)) == data[first:end]


def test_an_upload_goes_on_where_it_is_alone(contents):
    assert contents.uploaded(KEY) == 0
    assert contents.append(KEY, 3, b"xyz") == 0
    assert contents.append(KEY, 0, b"abc") == 3
    assert contents.append(KEY, 0, b"ab") == 3
    assert contents.append(KEY, 2, b"zz") == 3
    assert contents.append(KEY, 3, b"def") == contents.uploaded(KEY) == 6
    assert contents.uploaded("other-key".replace("other-key", "0f-2")) == 0
    contents.verify(KEY, sha_of(b"abcdef"), 6)


@pytest.mark.parametrize(("sha256", "size"), [(sha_of(b"other"), 3), (sha_of(b"abc"), 4), (sha_of(b"abc"), 2)])
def test_an_upload_of_another_hash_or_size_is_removed(contents, sha256, size):
    contents.append(KEY, 0, b"abc")
    with pytest.raises(WrongContentError):
        contents.verify(KEY, sha256, size)
    assert contents.uploaded(KEY) == 0
    assert contents.append(KEY, 3, b"def") == 0
    assert contents.size(sha256) is None
    put(contents, b"abc")


def test_a_content_that_is_there_can_be_put_again(contents):
    sha256 = put(contents, b"abc")
    assert put(contents, b"abc", "0f-2") == sha256
    contents.put("0f-2", sha256)  # of an upload that another request has put there
    assert b"".join(contents.read(sha256, 0, 3)) == b"abc"


def test_an_upload_that_is_gone_cannot_be_put(contents):
    with pytest.raises(OSError):  # noqa: PT011 - of each store its own
        contents.put(KEY, sha_of(b"abc"))


def test_a_content_that_is_removed_is_not_there(contents):
    sha256 = put(contents, b"abc")
    for _ in range(2):
        contents.remove(sha256)
    assert contents.size(sha256) is None
    with pytest.raises(OSError):  # noqa: PT011
        list(contents.read(sha256, 0, 3))


def test_uploads_that_nobody_has_added_to_for_long_are_swept(contents):
    for key in (KEY, "0f-2"):
        contents.append(key, 0, b"abc")
    sha256 = put(contents, b"whole", "0f-3")
    plant(contents, "uploads/not ours")
    assert contents.sweep(3600) == 0
    assert contents.sweep(-1) == 2
    assert (contents.uploaded(KEY), contents.size(sha256)) == (0, 5)
