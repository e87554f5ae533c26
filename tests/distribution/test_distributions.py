"""The source distribution is what git has; a wheel has what runs, of one platform, and no source in C."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from distribution.building import DEADLINE_S, ROOT, Built, build, copy_of_tree, needs_setuptools, warnings_in

pytestmark = needs_setuptools

GENERATED = {"PKG-INFO", "setup.cfg"}
needs_twine = pytest.mark.skipif(
    importlib.util.find_spec("twine") is None, reason="twine is not here: steplog[release]"
)


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Built:
    """Built beside what builds and tests leave in a tree."""
    tree = copy_of_tree(tmp_path_factory.mktemp("sdist") / "tree")
    for name in ("tests/__pycache__/test_run.pyc", "src/steplog/journal/_append.cpython-39.so", "benchmarks/out/a.py"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    return build(tree, "sdist")


@pytest.fixture(scope="module")
def unpacked(sdist, tmp_path_factory) -> Path:
    directory: Path = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist.path) as archive:
        archive.extractall(directory, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (tree,) = directory.iterdir()
    return tree


@pytest.fixture(scope="module")
def wheel(unpacked) -> Built:
    return build(unpacked, "wheel")


def files_in(tree: Path) -> set[str]:
    return {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}


def git(*arguments: str) -> set[str]:
    """What git lists; nothing where this is no checkout."""
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z", *arguments], capture_output=True, text=True)
    return {name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()}


def test_the_source_distribution_has_what_git_has_and_nothing_else(unpacked):
    tracked = git()
    if not tracked:
        pytest.skip("not a checkout of git")
    found = {name for name in files_in(unpacked) if ".egg-info/" not in name} - GENERATED
    missing, strange = tracked - found, found - tracked - git("--others", "--exclude-standard")
    assert not missing, f"give MANIFEST.in a line for these: {sorted(missing)}"
    assert not strange, f"have MANIFEST.in leave these out: {sorted(strange)}"


def test_the_source_distribution_has_what_its_tests_and_docs_need(unpacked):
    found = files_in(unpacked)
    assert found >= {
        *("src/steplog/journal/_append.c", "setup.py", "scripts/check", ".ci/run", "mkdocs.yml", "CHANGELOG.md"),
        *("tests/golden/frame-v1.bin", "tests/page/vendor/axe.min.js", "docs/openapi.yaml", "deploy/Containerfile"),
        *("tests/distribution/test_distributions.py", "benchmarks/__main__.py", "examples/README.md"),
    }
    assert not [name for name in found if name.endswith((".pyc", ".so", ".whl")) or "/out/" in name]
    assert os.access(unpacked / "scripts" / "check", os.X_OK)


def test_a_wheel_has_the_package_and_no_source_in_c_and_no_tests(wheel, unpacked):
    with zipfile.ZipFile(wheel.path) as archive:
        found = set(archive.namelist())
    package = {name.removeprefix("src/") for name in files_in(unpacked) if name.startswith("src/steplog/")}
    expected = package - {"steplog/journal/_append.c", "steplog/server/page/README.md"}
    (info,) = {name.partition("/")[0] for name in found if not name.startswith("steplog/")}
    assert info.endswith(".dist-info")
    compiled = {name for name in found if name.startswith("steplog/") and name.endswith(".so")}
    assert {name for name in found if name.startswith("steplog/")} - compiled == expected
    assert f"{info}/licenses/LICENSE" in found


def test_a_wheel_is_of_one_platform(wheel):
    python, abi, platform = wheel.path.stem.split("-")[-3:]
    assert python == "cp{}{}".format(*sys.version_info)
    assert abi.startswith(python)
    assert platform != "any"


def test_a_wheel_without_the_extension_is_of_one_platform_too(unpacked, tmp_path):
    """One for any platform was taken by pip on Windows, and where there was a compiler."""
    free_threaded = "import sysconfig; sysconfig.get_config_vars()['Py_GIL_DISABLED'] = 1"
    built = build(unpacked, "wheel", before=free_threaded, into=tmp_path)
    with zipfile.ZipFile(built.path) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".so")]
        (info,) = (name for name in archive.namelist() if name.endswith(".dist-info/WHEEL"))
        told = archive.read(info).decode()
    assert "Root-Is-Purelib: false" in told
    assert "-none-" not in told
    assert "-any" not in told


def test_a_build_warns_of_nothing(sdist, wheel):
    assert warnings_in(sdist.said) == []
    assert warnings_in(wheel.said) == []


@needs_twine
def test_the_metadata_is_what_the_package_index_takes(sdist, wheel):
    command = [sys.executable, "-m", "twine", "check", "--strict", str(sdist.path), str(wheel.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout + done.stderr
