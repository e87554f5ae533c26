"""nginx and HAProxy with the configurations that are shipped, each a process of its own on a free port."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import pytest

from certificates import NAME
from polling import wait_until
from server.process import DEADLINE_S, lasting_port

__all__ = ["DEPLOY", "PROXIES", "Proxy"]

DEPLOY = Path(__file__).parents[2] / "deploy"
PROXIES = ("nginx", "haproxy")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
# What Debian's nginx.conf and the official image's have around a file of conf.d.
_AROUND = """
daemon off;
{user}
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/steplog.conf;
}}
"""


class Proxy:
    """A proxy with https before two servers; a context manager.

    Attributes:
        url: its address, by which a server has to be allowed.
    """

    def __init__(self, kind: str, directory: Path, authority: Path, servers: tuple[str, str]) -> None:
        """``authority``: where ``make_authority`` has written; ``servers``: HOST:PORT of each. Skips without it."""
        program = shutil.which(kind, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.skip(f"{kind} is not installed")
        directory.mkdir()
        self._port = lasting_port()
        self.url = f"https://127.0.0.1:{self._port}"
        both = directory / "both.pem"
        both.write_bytes((authority / "server.pem").read_bytes() + (authority / "server.key").read_bytes())
        variables = {
            "STEPLOG_NAME": NAME,
            "STEPLOG_SERVER_1": servers[0],
            "STEPLOG_SERVER_2": servers[1],
            "STEPLOG_HTTPS": f"127.0.0.1:{self._port}",
            "STEPLOG_CERT": str(both if kind == "haproxy" else authority / "server.pem"),
            "STEPLOG_CERT_KEY": str(authority / "server.key"),
        }
        self._said = directory / "said"
        self._command = [program, *_arguments(kind, directory, variables)]
        self._environment = {"PATH": os.environ.get("PATH", ""), **variables}

    def __enter__(self) -> Proxy:
        with open(self._said, "wb") as said:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=said, stderr=said)
        wait_until(self._listens, DEADLINE_S, lambda: self._said.read_text("utf-8"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def said(self) -> str:
        """What it has written to its log."""
        return self._said.read_text("utf-8")

    def _listens(self) -> bool:
        assert self._process.poll() is None, self.said
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


def _arguments(kind: str, directory: Path, variables: Mapping[str, str]) -> list[str]:
    if kind == "haproxy":
        return ["-db", "-f", str(DEPLOY / "haproxy.cfg")]
    shipped = (DEPLOY / "nginx.conf").read_text("utf-8")
    (directory / "steplog.conf").write_text(_VARIABLE.sub(lambda found: variables[found[1]], shipped), "utf-8")
    user = "user root;" if os.geteuid() == 0 else ""  # which alone may enter the test's directory
    (directory / "nginx.conf").write_text(_AROUND.format(directory=directory, user=user), "utf-8")
    return ["-p", str(directory), "-e", "stderr", "-c", str(directory / "nginx.conf")]
