"""The README's ten lines do what the README says, against the server that it tells to start."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
STEPLOG = [sys.executable, "-c", "from steplog.cli import main; main()"]


@pytest.fixture
def _server(tmp_path: Path) -> Iterator[None]:
    """``steplog serve`` in a process of its own, found by whoever has nothing configured."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serving = subprocess.Popen([*STEPLOG, "serve", "--port", str(port), "--db", str(tmp_path / "server.db")])
    try:
        wait_until_it_answers(f"http://127.0.0.1:{port}/api/v0/instance/?nonce=1", serving)
        yield
    finally:
        serving.terminate()
        assert serving.wait(20) == 0


def wait_until_it_answers(url: str, serving: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and serving.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
        else:
            return
    raise AssertionError("steplog serve does not answer")


@pytest.mark.usefixtures("_server")
def test_the_ten_lines_of_the_readme_deliver_everything(tmp_path):
    (lines,) = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    for counted in ("logged=2001", "delivered=2001", "pending=0"):
        assert counted in done.stdout
