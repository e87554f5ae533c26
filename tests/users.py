"""Another user of this machine, and what it does."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["needs_users", "open_to_all", "other_user", "while_user"]

needs_users = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("useradd") or not shutil.which("userdel"),
    reason="only root can make a second user, with useradd",
)


@pytest.fixture(scope="module")
def other_user() -> Iterator[int]:
    """The uid of a user made for the tests of a module."""
    name = f"steplog-test-{secrets.token_hex(4)}"
    subprocess.run(["useradd", "--no-create-home", "--shell", "/bin/false", name], check=True)
    try:
        yield pwd.getpwnam(name).pw_uid
    finally:
        subprocess.run(["userdel", "--force", name], check=True)


def while_user(uid: int, act: Callable[[], object]) -> None:
    """Do this as that user, in a process of its own. Raises what went wrong there as an AssertionError."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            os.umask(0)
            act()
            code = 0
        except OSError as error:
            os.write(2, f"{error}\n".encode())
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0, f"user {uid} could not do it"


@contextmanager
def open_to_all(directory: Path) -> Iterator[None]:
    """A block in which everybody may write there, and pass the directories above it; then all are as they were.

    pytest's own, above a test's, may be anywhere, also below a directory that others need: /tmp.
    """
    changed: dict[Path, int] = {}
    try:
        for path in (directory, *directory.parents):
            mode = stat.S_IMODE(path.stat().st_mode)
            wanted = mode | (0o777 if path == directory else 0o011)
            if wanted != mode:
                path.chmod(wanted)
                changed[path] = mode
        yield
    finally:
        for path, mode in changed.items():
            path.chmod(mode)
