"""Contents in object storage: copies are checked, errors are OSErrors, and no password is shown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

fsspec = pytest.importorskip("fsspec", reason="needs fsspec: pip install 'steplog[objects]'")

from server.blobs.test_stores import KEY, put, sha_of  # noqa: E402
from steplog.errors import ConfigurationError  # noqa: E402
from steplog.server.blobs.object_store import ObjectContents  # noqa: E402
from steplog.server.blobs.open_contents import contents_place, open_contents, shown_contents  # noqa: E402

SECRET = "http://ann:geheim@storage.example.org/bucket?token=geheim"


@pytest.fixture
def contents(tmp_path: Path) -> ObjectContents:
    return ObjectContents(f"memory://{tmp_path.name}")


@pytest.fixture
def another(contents: ObjectContents, tmp_path: Path) -> ObjectContents:
    """Another server's."""
    return ObjectContents(f"memory://{tmp_path.name}")


def test_servers_send_one_content_together(contents, another):
    assert contents.append(KEY, 0, b"abc") == 3
    assert another.append(KEY, 3, b"def") == 6
    assert contents.append(KEY, 3, b"xyz") == 6
    another.verify(KEY, sha_of(b"abcdef"), 6)
    another.put(KEY, sha_of(b"abcdef"))
    assert b"".join(contents.read(sha_of(b"abcdef"), 0, 6)) == b"abcdef"
    assert contents.uploaded(KEY) == 0


def test_what_is_overwritten_after_the_check_is_not_in_the_content(contents, another, tmp_path):
    contents.append(KEY, 0, b"right")
    contents.verify(KEY, sha_of(b"right"), 5)
    another._write(f"{another._upload(KEY)}/{0:020}", b"wrong")
    contents.put(KEY, sha_of(b"right"))
    assert b"".join(contents.read(sha_of(b"right"), 0, 5)) == b"right"


def test_parts_that_overlap_count_as_far_as_they_follow_each_other(contents, another):
    another._write(f"{another._upload(KEY)}/{0:020}", b"abc")
    another._write(f"{another._upload(KEY)}/{5:020}", b"fgh")
    assert contents.uploaded(KEY) == 3
    assert contents.append(KEY, 3, b"de") == 5
    assert contents.uploaded(KEY) == 8
    contents.verify(KEY, sha_of(b"abcdefgh"), 8)


def test_what_is_in_the_middle_of_an_upload_can_be_read_again_elsewhere(contents, another):
    sha256 = put(contents, b"abc")
    assert another.size(sha256) == 3
    contents.remove(sha256)
    assert another.size(sha256) is None


def test_an_error_of_the_storage_is_an_os_error_without_a_password(contents, monkeypatch):
    class StorageError(Exception):
        pass

    def fail(*_args: Any, **_options: Any) -> None:
        raise StorageError(f"403 at {SECRET}")

    monkeypatch.setattr(type(contents._files), "pipe_file", fail)
    with pytest.raises(OSError, match=r"StorageError: 403 at http://storage\.example\.org") as raised:
        contents.append(KEY, 0, b"abc")
    assert "ann" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_place_that_cannot_be_written_is_refused_at_the_start(monkeypatch, contents):
    def fail(*_args: Any, **_options: Any) -> None:
        raise FileNotFoundError(2, "The specified bucket does not exist")

    monkeypatch.setattr(type(contents._files), "pipe_file", fail)
    with pytest.raises(ConfigurationError, match="memory://nothing: The specified bucket does not exist"):
        open_contents("memory://nothing")


def test_in_storage_without_folders_none_is_made_since_it_might_be_a_bucket(monkeypatch, tmp_path):
    made: list[str] = []
    files = fsspec.filesystem("memory")
    monkeypatch.setattr(type(files), "makedirs", lambda self, path, exist_ok=False: made.append(path))
    contents = ObjectContents(f"memory://{tmp_path.name}/files")
    contents.append(KEY, 0, b"abc")
    assert [path.rpartition("/")[2] for path in made] == ["files", KEY]
    made.clear()
    monkeypatch.setattr(type(files), "protocol", ("s3", "s3a"))
    flat = ObjectContents(f"memory://{tmp_path.name}/flat")
    assert flat.append(KEY, 0, b"abc") == 3
    assert made == []


def test_a_place_is_shown_without_its_password(tmp_path):
    assert shown_contents(SECRET) == "http://storage.example.org/bucket"
    assert shown_contents("s3://bucket/files") == "s3://bucket/files"
    assert shown_contents(tmp_path / "a?b") == f"{tmp_path}/a?b"


def test_without_a_name_contents_are_beside_a_database_that_is_a_file(tmp_path):
    assert contents_place(None, tmp_path / "server.db") == tmp_path / "server.db.blobs"
    assert contents_place(None, "postgresql://host/name") is None
    assert contents_place("files", "postgresql://host/name") == Path("files")
    assert contents_place("s3://bucket", tmp_path) == "s3://bucket"


def test_without_fsspec_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.delitem(sys.modules, "steplog.server.blobs.object_store")
    with pytest.raises(ConfigurationError, match=r"pip install 'steplog\[objects\]'"):
        open_contents("s3://bucket/files")


@pytest.mark.parametrize("url", ["nosuch://ann:geheim@bucket/files", "s3://ann:geheim@bucket/files"])
def test_a_place_that_cannot_be_opened_is_refused_without_its_password(url):
    if url.startswith("s3"):
        try:
            __import__("s3fs")
        except ImportError:
            pass
        else:
            pytest.skip("s3fs is installed")
    with pytest.raises(ConfigurationError) as raised:
        open_contents(url)
    assert "geheim" not in str(raised.value)


def test_a_folder_that_cannot_be_made_is_refused_by_name(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=f"{tmp_path}/file"):
        open_contents(tmp_path / "file")
