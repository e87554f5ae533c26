"""``scripts/audit`` says what is vulnerable, and never passes where nothing was audited."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "audit"
FAKE = """
import json, os, sys
pins = [line.split("==") for line in open(sys.argv[sys.argv.index("--requirement") + 1]).read().split()]
answers = json.loads(os.environ["ANSWERS"])
if answers is None:
    print("ConnectionError: no such host", file=sys.stderr)
    sys.exit(1)
told = [{"name": name, "version": of, "vulns": []} | answers.get(name + "==" + of, {}) for name, of in pins]
print(json.dumps({"dependencies": told}))
sys.exit(any(package["vulns"] for package in told))
"""
KNOWN = {"requests==2.19.0": {"vulns": [{"id": "PYSEC-2018-28"}]}}


def audit(
    directory: Path, answers: Any, *, pins: str = "idna==3.7\nclick==8.1.7\n"
) -> subprocess.CompletedProcess[str]:
    """The script, with a pip-audit that answers this."""
    (directory / "pip_audit").mkdir()
    (directory / "pip_audit" / "__init__.py").touch()
    (directory / "pip_audit" / "__main__.py").write_text(FAKE)
    (directory / "pins.txt").write_text(pins)
    environment = os.environ | {"PYTHONPATH": str(directory), "ANSWERS": json.dumps(answers)}
    command = [sys.executable, str(SCRIPT), str(directory / "pins.txt")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


def test_versions_that_nothing_is_known_against_pass(tmp_path):
    done = audit(tmp_path, KNOWN)
    assert (done.returncode, done.stdout) == (0, "pins.txt: 2 packages audited, 0 with something against them\n")


def test_a_vulnerable_version_is_named_with_its_advisory(tmp_path):
    done = audit(tmp_path, KNOWN | {"idna==3.7": {"vulns": [{"id": "CVE-1"}, {"id": "CVE-2"}]}})
    assert done.returncode == 1
    assert "pins.txt: idna 3.7: CVE-1, CVE-2\n" in done.stdout


@pytest.mark.parametrize(
    ("answers", "words"),
    [(None, "no such host"), ({}, "does not know that requests==2.19.0 is vulnerable")],
    ids=["no network", "a mirror without advisories"],
)
def test_where_there_are_no_advisories_it_is_skipped_and_says_so(tmp_path, answers, words):
    """A mirror without advisories let everything pass."""
    done = audit(tmp_path, answers)
    assert done.returncode == 77
    assert done.stdout.startswith("not audited: ")
    assert words in done.stdout


def test_a_package_that_the_database_does_not_know_is_not_taken_for_audited(tmp_path):
    done = audit(tmp_path, KNOWN | {"click==8.1.7": {"skip_reason": "not found"}})
    assert done.returncode == 1
    assert "click 8.1.7: not found" in done.stdout


def test_nothing_to_audit_does_not_pass(tmp_path):
    assert audit(tmp_path, KNOWN, pins="").returncode == 1
