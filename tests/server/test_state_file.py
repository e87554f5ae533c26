"""The state file is trusted only if no other user could have written it."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

import pytest

from steplog import instance
from steplog.errors import ConfigurationError
from steplog.instance import Instance
from steplog.private_files import write_private

HERE = Instance("id-1", "http://127.0.0.1:8787", "secret-1", "key-1", "ann")


def test_what_is_written_is_read_again_and_private(tmp_path):
    path = instance.state_path(tmp_path / "state")
    instance.write(path, HERE)
    assert instance.read(path) == HERE
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    instance.write(path, HERE)
    assert list(path.parent.iterdir()) == [path]


def test_neither_the_key_nor_the_secret_is_in_the_repr():
    assert "key-1" not in repr(HERE)
    assert "secret-1" not in repr(HERE)


def test_the_directory_is_given_or_set_or_the_users(tmp_path, monkeypatch):
    assert instance.state_path(tmp_path) == tmp_path / "server.json"
    monkeypatch.setenv("STEPLOG_DIR", str(tmp_path / "set"))
    assert instance.state_path() == tmp_path / "set" / "server.json"
    monkeypatch.setenv("STEPLOG_DIR", "")
    assert instance.state_path().parts[-2:] == ("steplog", "server.json")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o610])
def test_a_file_that_others_may_touch_is_as_good_as_none(tmp_path, mode):
    path = tmp_path / "server.json"
    instance.write(path, HERE)
    path.chmod(mode)
    assert instance.read(path) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"instance": 1}', b"\xff", b"[" * 50_000, b"{}" * 50_000])
def test_a_file_that_is_not_a_state_file_is_as_good_as_none(tmp_path, content):
    path = tmp_path / "server.json"
    write_private(path, content)
    assert instance.read(path) is None


def test_a_link_a_pipe_and_a_directory_are_as_good_as_none(tmp_path):
    target = tmp_path / "target.json"
    instance.write(target, HERE)
    link, pipe = tmp_path / "link.json", tmp_path / "pipe.json"
    link.symlink_to(target)
    os.mkfifo(pipe, 0o600)
    for path in (link, pipe, tmp_path, tmp_path / "missing.json"):
        assert instance.read(path) is None


def test_a_link_is_replaced_and_what_it_led_to_is_left_alone(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    path = tmp_path / "server.json"
    path.symlink_to(victim)
    instance.write(path, HERE)
    assert (victim.read_text(), instance.read(path)) == ("mine", HERE)


def test_a_directory_that_others_may_write_in_is_refused(tmp_path):
    for make in (lambda path: path.mkdir() or path.chmod(0o777), lambda path: path.symlink_to(tmp_path)):
        directory: Path = tmp_path / f"{make.__code__.co_firstlineno}{make.__code__.co_names[0]}"
        make(directory)
        with pytest.raises(ConfigurationError):
            instance.write(directory / "server.json", HERE)


def test_only_the_servers_own_file_is_removed(tmp_path):
    path = tmp_path / "server.json"
    instance.write(path, HERE)
    instance.remove(path, "another")
    assert path.exists()
    instance.remove(path, "id-1")
    instance.remove(path, "id-1")
    assert not path.exists()


def test_the_proof_is_the_hmac_of_the_nonce():
    assert instance.proof("secret", "nonce") == hmac.new(b"secret", b"nonce", hashlib.sha256).hexdigest()
