"""Ctrl-C ends a command with one line and exit code 130, and prints nothing that it has not found out."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from server.process import KEY, SOURCES

DEADLINE_S = 60.0


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["ls"], ["ls", "--json"], ["show", "run"]])
def test_ctrl_c_while_a_server_does_not_answer_ends_a_command_with_130(tmp_path: Path, arguments: list[str]):
    """``ls`` then listed what waits, as if it had asked in vain; the line was about what is not delivered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE_S)
        environment = os.environ | {
            "PYTHONPATH": str(SOURCES),
            "STEPLOG_DIR": str(tmp_path / "state"),
            "STEPLOG_URL": f"http://127.0.0.1:{listener.getsockname()[1]}",
            "STEPLOG_API_KEY": KEY,
            "STEPLOG_QUIET": "1",
        }
        leave = "import steplog; steplog.init(project='p', mode='offline').log('loss', 1.0)"
        subprocess.run([sys.executable, "-c", leave], env=environment, check=True, timeout=DEADLINE_S)
        with subprocess.Popen(
            [sys.executable, "-m", "steplog", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as command:
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(10) == b"GET /api/v"
                command.send_signal(signal.SIGINT)
                out, errors = command.communicate(timeout=DEADLINE_S)
    assert (command.returncode, out, errors.strip()) == (130, "", "steplog: interrupted")
