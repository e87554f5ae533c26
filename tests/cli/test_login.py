"""``login`` asks for a key, has it judged, and stores a good one; it never shows one."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios

from server.process import DEADLINE_S, KEY, SOURCES


def read_until(descriptor: int, words: bytes) -> bytes:
    seen = b""
    while words not in seen:
        assert select.select([descriptor], [], [], DEADLINE_S)[0], f"only {seen!r} was said"
        seen += os.read(descriptor, 1000)
    return seen


def test_a_good_key_is_stored_and_used_from_then_on(server, steplog):
    result = steplog("login", "--url", server.url, typed=f"{KEY}\n")
    assert result.exit_code == 0, result.output
    assert f"logged in as me at {server.url}" in result.output
    assert f"export STEPLOG_URL={server.url}" in result.output
    assert "mnist" in steplog("ls", url=server.url, key=None).output


def test_a_wrong_key_changes_nothing_and_is_not_repeated(server, steplog, tmp_path):
    result = steplog("login", "--url", server.url, typed="not-the-key\n")
    assert result.exit_code == 1
    assert "rejects this key; nothing is changed" in result.output
    assert "not-the-key" not in result.output
    assert not (tmp_path / "keys.json").exists()


def test_without_a_key_nothing_is_asked_of_the_server(steplog):
    result = steplog("login", "--url", "http://127.0.0.1:9", typed="\n")
    assert (result.exit_code, "no key was given" in result.output) == (1, True)


def test_a_key_in_the_environment_that_goes_before_the_stored_one_is_said(server, steplog):
    assert "STEPLOG_API_KEY is set" in steplog("login", url=server.url, typed=f"{KEY}\n").output


def test_the_key_is_no_argument(steplog):
    assert steplog("login", "a-key").exit_code == 2


def test_a_key_that_is_typed_in_a_terminal_is_not_shown(server, tmp_path):
    ours, theirs = pty.openpty()
    environment = dict(os.environ) | {"PYTHONPATH": str(SOURCES), "STEPLOG_DIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-m", "steplog", "login", "--url", server.url],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        seen = read_until(ours, b"API key for")
        # Older versions of click prompt first; what is typed before the terminal is silent is thrown away.
        while termios.tcgetattr(ours)[3] & termios.ECHO:
            assert process.poll() is None
        os.write(ours, f"{KEY}\n".encode())
        seen += read_until(ours, b"export STEPLOG_URL")
        assert process.wait(DEADLINE_S) == 0
    os.close(ours)
    assert b"logged in as me" in seen
    assert KEY.encode() not in seen
