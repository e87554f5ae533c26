"""The key file: 0600, replaced as a whole, and refused where someone else could have read or made it."""

from __future__ import annotations

import os

import pytest

from steplog.errors import ConfigurationError
from steplog.network.keys import key_path, store_key, stored_key
from steplog.secret import Secret

ONE, TWO = "https://one.example", "https://two.example"


@pytest.fixture
def path(tmp_path):
    return key_path(tmp_path / "state")


def test_each_server_has_its_own_key(path):
    store_key(path, ONE, Secret("1"))
    store_key(path, TWO, Secret("2"))
    store_key(path, ONE, Secret("1b"))
    assert (stored_key(path, ONE), stored_key(path, TWO)) == (Secret("1b"), Secret("2"))
    assert stored_key(path, "https://three.example") is None


def test_a_key_can_be_forgotten(path):
    store_key(path, ONE, None)
    assert not path.exists()
    store_key(path, ONE, Secret("1"))
    store_key(path, ONE, None)
    assert stored_key(path, ONE) is None


def test_file_and_directory_are_private_whatever_the_umask(path):
    before = os.umask(0)
    try:
        store_key(path, ONE, Secret("1"))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]


def test_a_key_that_is_there_already_is_not_written_again(path):
    store_key(path, ONE, Secret("1"))
    before = path.stat().st_ino
    store_key(path, ONE, Secret("1"))
    assert path.stat().st_ino == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_may_read_is_refused(path, mode):
    store_key(path, ONE, Secret("1"))
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="others may read it"):
        stored_key(path, ONE)
    with pytest.raises(ConfigurationError, match="others may read it"):
        store_key(path, ONE, Secret("2"))


def test_a_link_is_not_followed(path, tmp_path):
    path.parent.mkdir(mode=0o700)
    victim = tmp_path / "victim"
    victim.write_text("{}")
    victim.chmod(0o600)
    path.symlink_to(victim)
    with pytest.raises(ConfigurationError, match="key file"):
        stored_key(path, ONE)
    with pytest.raises(ConfigurationError, match="key file"):
        store_key(path, ONE, Secret("1"))
    assert victim.read_text() == "{}"


def test_a_directory_that_others_may_write_in_gets_no_key(path):
    path.parent.mkdir()
    path.parent.chmod(0o777)
    with pytest.raises(ConfigurationError, match="others may write in it"):
        store_key(path, ONE, Secret("1"))
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1}', b"[" * 100_000, b"\xff\xfe", b'{"a": "\xff"}'])
def test_a_damaged_file_is_refused_and_left_as_it_is(path, content):
    store_key(path, ONE, Secret("1"))
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="not what steplog wrote"):
        stored_key(path, ONE)
    assert path.read_bytes() == content


def test_a_pipe_under_its_name_does_not_block(path):
    path.parent.mkdir(mode=0o700)
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigurationError, match="key file"):
        stored_key(path, ONE)


def test_a_directory_under_its_name_is_a_clear_error(path):
    path.parent.mkdir(mode=0o700)
    path.mkdir()
    with pytest.raises(ConfigurationError, match="key file"):
        stored_key(path, ONE)
