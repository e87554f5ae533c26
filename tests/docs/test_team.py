"""What docs/team.md says to type, from an empty database to a run of a second user, is typed, and does that."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

import postgresql
from certificates import NAME, make_authority
from deploy.proxies import Proxy
from docs.examples import ROOT, Block, blocks
from polling import wait_until
from server.process import SOURCES, lasting_port

pytestmark = pytest.mark.slow

DEADLINE_S = 60.0
PROMISED_S = 5.5  # until every server knows a new user, its role and a project's visibility
PAGE = (ROOT / "docs" / "team.md").read_text("utf-8")
START = "## In ten minutes\n"
STORE, ADDRESS = "postgresql://steplog@db.example.org/steplog", "https://steplog.example.org"
NOT_OURS = ("sudo ", "pip ")  # what the machine's packages and its PostgreSQL are asked for


@pytest.fixture
def store() -> Iterator[str]:
    """The URL of the database that ``createuser`` and ``createdb`` make: of a user that is no superuser."""
    cluster = postgresql.cluster()
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        connection.execute("CREATE ROLE steplog LOGIN")
        connection.execute("CREATE DATABASE steplog OWNER steplog")
        yield f"postgresql://steplog@{urlsplit(cluster.url()).netloc.partition('@')[2]}/steplog"
        connection.execute("DROP DATABASE steplog WITH (FORCE)")
        connection.execute("DROP ROLE steplog")


def section() -> list[Block]:
    return list(blocks(PAGE.partition(START)[2].partition("\n## ")[0]))


class Terminal:
    """Types what a page says; the environment stays from one block to the next."""

    def __init__(self, directory: Path, store: str, address: str, authority: Path) -> None:
        self._directory = directory
        self._replaced = {STORE: store, ADDRESS: address, "steplog.example.org": "127.0.0.1"}
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("STEPLOG_", "TELLURIO_"))
        } | {
            "STEPLOG_DIR": str(directory / "state"),
            "STEPLOG_MEMORY_DIR": str(directory / "memory"),
            "PYTHONPATH": str(SOURCES),
            "REQUESTS_CA_BUNDLE": str(authority / "ca.pem"),
            "HOME": str(directory),
        }

    def text(self, words: str) -> str:
        for name, value in self._replaced.items():
            words = words.replace(name, value)
        return words

    def type(self, words: str) -> str:
        """Type lines; what they print."""
        lines = [line for line in self.text(words).splitlines() if not line.startswith(NOT_OURS)]
        for line in lines:
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                self._environment[name] = value.strip("'")
        function = f'steplog() {{ "{sys.executable}" -m steplog "$@"; }}'
        return self._run("bash", "-euo", "pipefail", "-c", "\n".join([function, *lines]))

    def shows(self, words: str, lines: str) -> bool:
        """Whether lines that are typed print this."""
        return words in self.type(lines)

    def run(self, program: str) -> str:
        """Run a program of Python."""
        return self._run(sys.executable, "-c", program)

    def serve(self, words: str, port: int) -> subprocess.Popen[str]:
        """Start a server with the options of the page."""
        arguments = self.text(words).split()[1:]
        process = subprocess.Popen(
            [sys.executable, "-m", "steplog", *arguments, "--port", str(port)],
            env=self._environment, cwd=self._directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        said = ""
        while not said.startswith("steplog serve: http"):
            said = process.stdout.readline()
            assert said, process.wait(DEADLINE_S)
        return process

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self._environment, cwd=self._directory, capture_output=True, text=True, timeout=DEADLINE_S
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"
        return done.stdout


def test_ten_minutes_lead_from_an_empty_database_to_the_runs_of_a_team(tmp_path, store):
    authority = tmp_path / "authority"
    authority.mkdir()
    make_authority(authority)
    ports = lasting_port(), lasting_port()
    assert NAME
    shells, typed = [], []
    servers: list[subprocess.Popen[str]] = []
    with Proxy("nginx", tmp_path / "proxy", authority, tuple(f"127.0.0.1:{port}" for port in ports)) as proxy:
        terminal = Terminal(tmp_path, store, proxy.url, authority)
        try:
            for block in section():
                if block.language == "python":
                    terminal.run(block.text)
                elif block.text.startswith("cat bob.key"):
                    wait_until(functools.partial(terminal.shows, "first", block.text), PROMISED_S)
                elif block.language == "sh" and block.text.startswith("steplog serve"):
                    servers += [terminal.serve(block.text, port) for port in ports]
                elif block.language == "sh":
                    typed.append(terminal.type(block.text))
                    shells.append(block.text)
        finally:
            codes, seen = [], terminal.type("steplog ls ann") if shells else ""
            for server in servers:
                server.terminate()
            for server in servers:
                server.communicate(timeout=DEADLINE_S)
                codes.append(server.returncode)
    assert codes == [0, 0]
    listed = next(out for words, out in zip(shells, typed, strict=True) if words == "steplog ls")
    assert "first" in listed
    assert "COMPLETED" in listed
    assert "bob" in typed[-1]
    assert "MEMBER" in typed[-1]
    assert "second" in seen, "what the second user has logged is in the first one's project"
    wait_until(lambda: len((tmp_path / "bob.key").read_text().split()) == 1, 1)


def test_the_section_types_every_step():
    """A block that nobody runs is no step."""
    assert [block.language for block in section()].count("sh") >= 6
    assert STORE in PAGE
    assert ADDRESS in PAGE
