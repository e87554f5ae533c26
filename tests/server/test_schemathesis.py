"""Requests that schemathesis makes of ``docs/openapi.yaml`` are answered as that says, and none with 500."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from server.batches import range_of
from server.description import FILE
from server.process import KEY, ServerProcess
from steplog.delivery.wire import API

CHECKS = ",".join(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "missing_required_header",
        "unsupported_method",
        "ignored_auth",
    ]
)
EXAMPLES = 25  # of an operation; boundary values come on top
TIMEOUT_S = 500


def described_of(run: str, directory: Path) -> Path:
    """The description of this run alone: a random path leads nowhere, and not to a project that was made up before."""
    document = yaml.safe_load(FILE.read_text("utf-8"))
    _, namespace, _, project, _, uuid, _ = run.split("/")
    for name, value in (("Namespace", namespace), ("Project", project), ("Run", uuid)):
        document["components"]["parameters"][name]["schema"] = {"const": value}
    made_up_name = {"type": "string", "pattern": "^made up [a-z0-9]{8}$"}
    document["components"]["schemas"]["NewProject"]["properties"]["display_name"] = made_up_name
    file = directory / "openapi.json"
    file.write_text(json.dumps(document))
    return file


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("schemathesis") is None, reason="steplog[schemathesis] is not installed")
def test_no_request_that_can_be_made_up_is_answered_otherwise_than_described(tmp_path):
    with ServerProcess(tmp_path, "--namespace", "team") as server:
        run = server.new_run()
        assert server.send(run, range_of([("loss", 0.5, step) for step in range(100)])).status_code == 200
        file = described_of(run, tmp_path)
        for methods in (["--exclude-method", "DELETE"], ["--include-method", "DELETE"]):
            done = made_up(server, file, *methods)
            assert done.returncode == 0, done.stdout[-20_000:]
        assert server.end() == (0, "")


def made_up(server: ServerProcess, file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run", str(file)]
    options = ["--url", f"{server.url}{API}", "--header", f"Authorization: Api-Key {KEY}", "--checks", CHECKS]
    limits = ["--max-failures", "5", "--request-timeout", "20"]  # a server that fails fills its pipe, and stops
    bounds = [*limits, "--max-examples", str(EXAMPLES), "--seed", "1", "--generation-database", "none", "--no-color"]
    return subprocess.run(
        [*command, *options, *bounds, "--phases", "coverage,fuzzing", "--continue-on-failure", *arguments],
        cwd=file.parent,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
