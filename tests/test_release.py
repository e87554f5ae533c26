"""``scripts/release`` refuses what is no release yet, and builds the same files of the same commit."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
release = runpy.run_path(str(ROOT / "scripts" / "release"))
problems, State, tidied, write_sums = (release[name] for name in ("problems", "State", "tidied", "write_sums"))
TODAY = date(2026, 11, 27)
CHANGELOG = "# Changelog\n\n## 1.2.0, 2026-11-27\n\n### Added\n\n- All.\n\n## 1.1.0, 2026-01-01\n\n- Some.\n"
READY = State("1.2.0", "main", [], ["v1.1.0"], CHANGELOG, TODAY)


def test_a_commit_of_main_with_a_dated_section_and_no_tag_is_a_release():
    assert problems(READY) == []
    candidate = CHANGELOG.replace("1.2.0", "1.2.0rc1")
    assert problems(replace(READY, version="1.2.0rc1", changelog=candidate)) == []


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (replace(READY, changed=["src/steplog/run.py"]), "not as in the commit: src/steplog/run.py: commit"),
        (replace(READY, changed=["a", "b", "c"]), "not as in the commit: a and 2 more: commit"),
        (replace(READY, branch="fix"), "this is the branch fix: git switch main"),
        (replace(READY, branch=""), "this is the branch (none)"),
        (replace(READY, tags=["v1.2.0"]), "the tag v1.2.0 is there: raise the version"),
        (replace(READY, version="1.2.0.dev0"), '1.2.0.dev0 is no version of a release: write version = "1.2.0"'),
        (replace(READY, version="1.3.0"), "CHANGELOG.md begins with 1.2.0, and pyproject.toml says 1.3.0"),
        (replace(READY, changelog=CHANGELOG.replace("2026-11-27", "not released")), "write ## 1.2.0, 2026-11-27"),
        (replace(READY, changelog=CHANGELOG.replace("2026-11-27", "2026-11-28")), "which is to come"),
        (replace(READY, changelog=CHANGELOG.replace("- All.", "")), "says nothing of 1.2.0"),
        (replace(READY, changelog="# Changelog\n"), "has no section: begin it with ## 1.2.0, 2026-11-27"),
    ],
)
def test_what_is_no_release_yet_says_what_to_do(state, said):
    (problem,) = problems(state)
    assert said in problem


def packed(*names: str, mtime: int, uid: int) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(f"steplog/{name}")
            member.size, member.mtime, member.uid, member.mode = (
                len(name),
                mtime,
                uid,
                0o755 if name == "run" else 0o664,
            )
            archive.addfile(member, io.BytesIO(name.encode()))
    return content.getvalue()


def test_a_source_distribution_says_nothing_of_when_where_and_by_whom_it_was_built():
    one = tidied(packed("a", "run", mtime=5, uid=0), 100)
    assert one == tidied(packed("run", "a", mtime=7, uid=1000), 100)
    assert one != tidied(packed("run", "a", mtime=7, uid=1000), 101)
    assert gzip.decompress(one)
    with tarfile.open(fileobj=io.BytesIO(one)) as archive:
        found = [(each.name, each.mode, each.mtime, each.uid) for each in archive.getmembers()]
        assert found == [("steplog/a", 0o644, 100, 0), ("steplog/run", 0o755, 100, 0)]
        file = archive.extractfile("steplog/run")
        assert file is not None
        assert file.read() == b"run"


def test_the_sums_are_of_every_file_and_are_written_anew(tmp_path):
    for _ in range(2):
        (tmp_path / "b.whl").write_bytes(b"b")
        (tmp_path / "a.tar.gz").write_bytes(b"a")
        path = write_sums(tmp_path)
        lines = path.read_text().splitlines()
        assert lines == [f"{hashlib.sha256(name[:1].encode()).hexdigest()}  {name}" for name in ("a.tar.gz", "b.whl")]


def copy_of_tree(target: Path, version: str) -> Path:
    """A repository with this tree, at another version, as its one commit."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this tree is no git repository")
    for name in filter(None, listed.stdout.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name, follow_symlinks=False)
    project = target / "pyproject.toml"
    project.write_text(re.sub('^version = ".*"$', f'version = "{version}"', project.read_text(), flags=re.MULTILINE))
    git = ["git", "-C", target, "-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    subprocess.run([*git, "init", "--quiet", "--initial-branch=main"], check=True)
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "All"], check=True)
    return target


def run_release(tree: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, tree / "scripts" / "release", *arguments]
    environment = os.environ | variables
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=1800)


def test_a_version_in_development_is_not_built(tmp_path):
    tree = copy_of_tree(tmp_path / "tree", "9.0.0.dev0")
    done = run_release(tree, "--dist", str(tmp_path / "dist"))
    assert done.returncode == 1
    assert 'no release: 9.0.0.dev0 is no version of a release: write version = "9.0.0"' in done.stderr
    (tree / "README.md").write_text("changed")
    assert "no release: not as in the commit: README.md: commit" in run_release(tree).stderr
    assert not (tmp_path / "dist").exists()


def test_nobody_is_told_to_tag_or_upload_a_draft_of_a_version_in_development():
    left = release["left_to_do"]
    assert "git tag --sign v9.0.0 " in left("9.0.0", Path("dist"), [])
    told = left("9.0.0.dev0", Path("dist"), [])
    assert "tag and upload nothing" in told
    assert "git tag" not in told


@pytest.mark.slow
def test_a_wheel_without_compiled_code_is_not_released(tmp_path):
    text = b'[build-system]\nrequires = ["setuptools>=77"]\nbuild-backend = "setuptools.build_meta"\n'
    text += b'[project]\nname = "tiny"\nversion = "1.0"\n'
    with tarfile.open(tmp_path / "tiny-1.0.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("tiny-1.0/pyproject.toml")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    with pytest.raises(release["ReleaseError"]) as refused:
        release["build_wheel"](sys.executable, tmp_path / "tiny-1.0.tar.gz", tmp_path / "work", 1_700_000_000)
    if "No matching distribution" in str(refused.value) or "Could not find a version" in str(refused.value):
        pytest.skip("no package index can be reached")
    assert "tiny-1.0-py3-none-any.whl has no compiled append: does" in str(refused.value)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Builds a release of one repository in a temporary directory of this name, and returns what was made."""
    if any(importlib.util.find_spec(module) is None for module in ("build", "cyclonedx_py")):
        pytest.skip("build and cyclonedx-bom are not here: steplog[release]")
    tree, directory = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("work")
    copy_of_tree(tree, "9.0.0")

    def build(name: str) -> Path:
        (directory / name).mkdir(exist_ok=True)
        target = directory / name / "dist"
        if not target.exists():
            done = run_release(tree, "--draft", "--dist", str(target), TMPDIR=str(directory / name))
            if "No matching distribution" in done.stderr or "Could not find a version" in done.stderr:
                pytest.skip("no package index can be reached")
            assert done.returncode == 0, done.stderr
            assert done.stdout.count("1000 values logged, served and read; append ") == 2
            assert "git tag --sign v9.0.0" in done.stdout
        return target

    return build


@pytest.mark.slow
def test_the_files_of_a_release_can_be_installed_and_log_and_have_their_sums(built):
    directory = built("one")
    lines = (directory / "SHA256SUMS").read_text().splitlines()
    assert sorted(Path(line.split()[1]).suffix for line in lines) == [".gz", ".json", ".whl"]
    for line in lines:
        digest, name = line.split()
        assert hashlib.sha256((directory / name).read_bytes()).hexdigest() == digest
    bill = json.loads((directory / "steplog-9.0.0.cdx.json").read_text())
    assert bill["metadata"]["component"]["hashes"][0]["content"] in {line.split()[0] for line in lines}


@pytest.mark.slow
def test_a_second_run_elsewhere_builds_the_same_bytes(built):
    assert (built("one") / "SHA256SUMS").read_text() == (built("two and more") / "SHA256SUMS").read_text()
