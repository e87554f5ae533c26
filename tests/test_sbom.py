"""``scripts/sbom`` lists what a wheel brings with it, and nothing else."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
needs_cyclonedx = pytest.mark.skipif(
    importlib.util.find_spec("cyclonedx_py") is None, reason="cyclonedx-bom is not here: steplog[release]"
)


def declared() -> list[str]:
    """The requirements in pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text("utf-8").partition("\ndependencies = [\n")[2].partition("\n]\n")[0]
    return re.findall(r'^ *"(.*)",$', text, re.MULTILINE)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel with steplog's requirements and no code."""
    path: Path = tmp_path_factory.mktemp("dist") / "steplog-0.1.0-py3-none-any.whl"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in declared())
    info = "steplog-0.1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: steplog\nVersion: 0.1.0\n{needs}")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def sbom(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "sbom"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
@needs_cyclonedx
def test_the_bill_of_materials_has_each_dependency_and_the_wheels_hash(wheel, tmp_path):
    bills: list[dict[str, Any]] = []
    for name in ("one.json", "two.json"):
        done = sbom(wheel, tmp_path / name)
        if done.returncode and "No matching distribution" in done.stderr + done.stdout:
            pytest.skip("no package index can be reached")
        assert done.returncode == 0, done.stderr
        bills.append(json.loads((tmp_path / name).read_text("utf-8")))
    bill = bills[0]
    assert bills[1] == bill
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    main = bill["metadata"]["component"]
    assert main["name"] == "steplog"
    assert main["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}]
    components = {item["name"].lower(): item for item in bill["components"]}
    needed = {re.split(r"[>=;]", text)[0] for text in declared() if ";" not in text}
    assert needed <= components.keys()
    assert not {"pip", "setuptools", "pytest", "cyclonedx-bom"} & components.keys()
    assert all(item["version"] and item["purl"].startswith("pkg:pypi/") for item in bill["components"])
    (depends,) = (item["dependsOn"] for item in bill["dependencies"] if item["ref"] == main["bom-ref"])
    assert len(depends) == len(needed) + any(name == "tomli" for name in components)


@pytest.mark.slow
def test_without_a_wheel_no_file_is_written(tmp_path):
    done = sbom(tmp_path / "none.whl", tmp_path / "bill.json")
    assert done.returncode == 1
    assert "no bill of materials" in done.stderr
    assert not (tmp_path / "bill.json").exists()
