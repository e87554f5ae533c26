"""The files in ``deploy/``, as far as they can be held to their formats without containers or systemd as process 1."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from deploy.proxies import DEPLOY
from server.process import DEADLINE_S
from steplog.cli.serve import command as serve

SCHEMA = Path(__file__).parent / "compose-spec" / "compose-spec.json"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text("utf-8")
COMPOSE = (DEPLOY / "compose.yaml").read_text("utf-8")
UNIT = (DEPLOY / "steplog.service").read_text("utf-8")
EXPOSURE_MAX = 20  # of 100: systemd calls it "OK"


def services() -> dict[str, Any]:
    return yaml.safe_load(COMPOSE)["services"]


def test_the_compose_file_is_one():
    jsonschema_rs.validator_for(json.loads(SCHEMA.read_text("utf-8"))).validate(yaml.safe_load(COMPOSE))


def test_the_compose_file_names_only_files_variables_and_services_that_are_there():
    made, text = services(), yaml.safe_load(COMPOSE)
    explained = COMPOSE.partition("\nname:")[0]
    for variable in re.findall(r"\$\{(\w+)", COMPOSE.partition("\nname:")[2]):
        assert variable in explained, f"say at the top what {variable} is"
    for service in made.values():
        assert set(service.get("depends_on", {})) <= made.keys()
        assert set(service["networks"]) <= text["networks"].keys()
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source.startswith("$") or source in text["volumes"] or (DEPLOY / source).exists(), source
    build = made["server-1"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).samefile(DEPLOY / "Containerfile")


def test_the_proxy_of_the_compose_file_has_all_that_nginx_conf_asks_for():
    asked = set(re.findall(r"\$\{(\w+)\}", "".join(_directives((DEPLOY / "nginx.conf").read_text("utf-8")))))
    given = services()["proxy"]["environment"]
    assert asked == {name for name in given if name.startswith("STEPLOG_")}
    for server in ("STEPLOG_SERVER_1", "STEPLOG_SERVER_2"):
        assert given[server].partition(":")[0] in services()


def test_the_variables_of_each_proxy_are_explained_at_its_top():
    for name in ("nginx.conf", "haproxy.cfg"):
        text = (DEPLOY / name).read_text("utf-8")
        top = "".join(line for line in text.splitlines(True) if line.startswith("#   "))
        asked = set(re.findall(r"\$\{(\w+)\}", "".join(_directives(text))))
        assert asked == set(re.findall(r"STEPLOG_\w+", top)), name


@pytest.mark.parametrize("called", ["unit", "compose", "container"])
def test_what_is_shipped_calls_serve_with_options_that_it_has(called):
    arguments = {
        "unit": UNIT.partition("STEPLOG_SERVE_OPTIONS=")[2].partition("\n")[0].split(),
        "compose": services()["server-1"]["command"][1:],
        "container": json.loads(CONTAINERFILE.rpartition("\nCMD ")[2])[1:],
    }[called]
    assert arguments
    given = [re.sub(r"\$\{.*\}", "steplog.example.org", each) for each in arguments]
    serve.make_context("serve", given, resilient_parsing=False)


def test_the_container_runs_as_nobody_in_particular_and_copies_what_the_build_needs():
    stage = CONTAINERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d+$", stage, re.MULTILINE), "by number, so that Kubernetes knows that it is not root"
    copied = {name for line in re.findall(r"^COPY ([^-].*) \S+$", CONTAINERFILE, re.MULTILINE) for name in line.split()}
    build = (DEPLOY.parent / "pyproject.toml").read_text("utf-8")
    assert copied == {"pyproject.toml", "setup.py", "README.md", "LICENSE", "src"}
    assert all(name in build for name in ("README.md", "LICENSE", "src"))
    assert all((DEPLOY.parent / name).exists() for name in copied)


def test_a_linter_finds_nothing_in_the_container_file():
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, str(DEPLOY / "Containerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_systemd_takes_the_unit_and_finds_it_closed(tmp_path):
    """Of a unit that ran as root with all rights, it says 96."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "steplog.service"
    unit.write_text(UNIT.replace("/srv/steplog/bin/steplog", sys.executable), "utf-8")
    verified = _analyze("verify", "--man=no", str(unit))
    assert (verified.returncode, [line for line in verified.stderr.splitlines() if "steplog.service" in line]) == (
        0,
        [],
    )
    level = _analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", str(unit))
    assert level.returncode == 0, level.stdout


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def _directives(text: str) -> list[str]:
    return [line for line in text.splitlines(True) if not line.lstrip().startswith("#")]
