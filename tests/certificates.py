"""A certificate authority of the tests, made by the command openssl."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["NAME", "make_authority"]

NAME = "runs.example"


def make_authority(paths: Path) -> None:
    """Write ``ca.pem``, and a certificate for localhost, 127.0.0.1 and ``NAME`` with its key. Skips without openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the command openssl is not installed")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=paths, check=True, capture_output=True)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    usage = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    run("req", "-x509", *new, "-days", "2", "-subj", "/CN=A test CA", *usage, "-keyout", "ca.key", "-out", "ca.pem")
    run("req", *new, "-subj", f"/CN={NAME}", "-keyout", "server.key", "-out", "server.csr")
    (paths / "names").write_text(
        f"subjectAltName=DNS:localhost,DNS:{NAME},IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n"
    )
    run(
        "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", "2", "-extfile", "names", "-out", "server.pem",
    )  # fmt: skip
    run("ec", "-in", "server.key", "-aes256", "-passout", "pass:x", "-out", "encrypted.key")
