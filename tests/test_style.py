"""The house style, as far as a machine can tell: structure, size, names, docs, and what an import costs."""

from __future__ import annotations

import ast
import functools
import importlib
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "steplog"
LINES_MAX = 500
TEST_LINES_MAX = 600  # a list of cases is read from one end to the other, not held in mind
FUNCTION_LINES_MAX = 60

# A folder, or a file at the top, and what of steplog it may import. Arrows run one way: run -> delivery -> journal.
BASE = {"errors", "settings", "instance", "default_paths"}
ARROWS = {
    "journal": {"errors", "journal"},
    "delivery": {*BASE, "journal", "delivery"},
    "server": {"errors", "instance", "journal.slot", "journal.range", "delivery.wire", "server"},
    "cli": {"<public>", "errors", "instance", "settings", "server", "cli"},
    "integrations": {"<public>"},
    "__main__": {"cli"},
    "errors": set(),
    "network": {"errors", "settings", "instance", "delivery.exchange", "delivery.wire", "network"},
    "settings": {"errors", "default_paths", "network.address", "network.secret"},
    "instance": {"errors", "default_paths"},
    "default_paths": set(),
    "testing": {*BASE, "journal", "delivery", "server", "testing", "<public>"},
    "top": {*BASE, "journal", "delivery", "network", "<top>"},
}
PURE = {
    "journal/slot.py",
    "journal/range.py",
    "journal/frame.py",
    "journal/segment.py",
    "delivery/wire.py",
    "delivery/exchange.py",
    "delivery/verdicts.py",
    "delivery/sender.py",
}
IMPURE_IMPORTS = {"os", "random", "socket", "threading", "time"}
LATE_IMPORTS = {"click", "requests", "rich", "starlette", "urllib3", "uvicorn"}
VAGUE = re.compile(r"manager|handler|helper|util", re.IGNORECASE)
MACHINE_PATH = re.compile(r"(?<![\w.~/:-])/(?:home|root|Users|work|opt|tmp/proto)/[\w.]")

MODULES = sorted(SRC.rglob("*.py"))
PEERS = ROOT / "benchmarks" / "out"  # what the benchmarks leave there, among it the peers' own files
BESIDE = [file for folder in ("tests", "benchmarks") for file in (ROOT / folder).rglob("*.py")]
PYTHON = sorted([*MODULES, *(file for file in BESIDE if PEERS not in file.parents)])


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@functools.cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


def imported(tree: ast.Module) -> Iterator[str]:
    """Every module that a file imports, wherever in it; ``from a import b`` gives ``a.b`` where that is a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                child = f"{node.module}.{alias.name}"
                path = SRC.parent / child.replace(".", "/")
                yield child if path.is_dir() or path.with_suffix(".py").exists() else str(node.module)


def defined(tree: ast.Module) -> set[str]:
    """The names that a module itself makes at its top, imports aside."""
    names = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and "TypeVar" in ast.unparse(node.value.func)
        ):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    return None


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_imports_between_the_folders_run_one_way(file):
    room = file.relative_to(SRC).parts[0].removesuffix(".py")
    if room == "__init__":
        room = "top"
    allowed = ARROWS.get(room, ARROWS["top"])
    for module in imported(tree_of(file)):
        package, _, inner = module.partition(".")
        if package != "steplog":
            continue
        public = "<public>" in allowed and not inner
        top = "<top>" in allowed and inner.split(".")[0] not in ARROWS
        listed = any(inner == name or inner.startswith(name + ".") for name in allowed)
        assert public or top or listed, (
            f"{room} may not import {module}: it may import {sorted(allowed)} (design, Layout)"
        )


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_code_imports_neither_clock_nor_threads_nor_system(name):
    if not (SRC / name).exists():
        pytest.skip("not written yet")
    run = [
        node
        for node in tree_of(SRC / name).body
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    ]
    impure = {module.split(".")[0] for module in imported(ast.Module(run, []))} & IMPURE_IMPORTS
    assert not impure, f"{name} is pure: pass in what it takes from {sorted(impure)}, and import types if TYPE_CHECKING"


@pytest.mark.parametrize("file", PYTHON, ids=name_of)
def test_a_file_fits_in_its_room(file):
    lines = len(file.read_text("utf-8").splitlines())
    most = TEST_LINES_MAX if file.is_relative_to(ROOT / "tests") else LINES_MAX
    assert lines <= most, f"{name_of(file)} has {lines} lines; split it where it holds two things"


@pytest.mark.parametrize("file", PYTHON, ids=name_of)
def test_a_function_fits_on_a_screen(file):
    for node in ast.walk(tree_of(file)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, (
                f"{node.name}, line {node.lineno}, has {lines} lines; take a step out of it"
            )


@pytest.mark.parametrize("file", MODULES, ids=name_of)  # a test may well be about a signal handler
def test_names_say_what_a_thing_does(file):
    tree = tree_of(file)
    made = {
        node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    }
    vague = sorted(filter(VAGUE.search, made | defined(tree) | {file.stem}))
    assert not vague, f"say what it does instead: {vague}"


@pytest.mark.parametrize("file", PYTHON, ids=name_of)
def test_a_module_begins_with_its_specification(file):
    docstring = ast.get_docstring(tree_of(file))
    assert docstring, f"{name_of(file)} needs a docstring: purpose, invariants, limits"


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_all_lists_what_is_public(file):
    tree = tree_of(file)
    public = {name for name in defined(tree) if not name.startswith("_")}
    listed = exported(tree)
    if file.name == "__init__.py":
        assert public <= set(listed or ()), f"not in __all__: {sorted(public - set(listed or ()))}"
    elif public:
        assert set(listed or ()) == public, f"__all__ is not {sorted(public)}: list the name, or begin it with _"


def test_every_name_that_steplog_lists_is_there():
    import steplog

    missing = [name for name in getattr(steplog, "__all__", []) if not hasattr(steplog, name)]
    assert not missing, f"in steplog.__all__ and nowhere else: {missing}"


def test_importing_steplog_loads_nothing_heavy_and_touches_nothing(tmp_path):
    """An audit hook sees each file opened for writing, each socket, process and thread."""
    program = f"""
import sys
sys.path.insert(0, {str(SRC.parent)!r})
seen = []
def watch(event, args):
    if event == "open" and isinstance(args[2], int) and args[2] & 0o3 or event.startswith("socket.") or event in {{
        "os.mkdir", "os.rename", "os.remove", "os.fork", "subprocess.Popen", "_thread.start_new_thread", "signal.signal"
    }}:
        seen.append((event, str(args[0])))
sys.addaudithook(watch)
import steplog
loaded = sorted({LATE_IMPORTS!r} & set(sys.modules))
if seen or loaded:
    sys.exit(f"touched {{seen}}, loaded {{loaded}}")
"""
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())


def documents() -> str:
    files = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    return "\n".join(file.read_text("utf-8") for file in files if file.exists())


def test_every_command_is_in_the_docs():
    groups = [made for made in vars(importlib.import_module("steplog.cli")).values() if isinstance(made, click.Group)]
    commands = {name for group in groups for name in group.list_commands(click.Context(group))}
    text = documents()
    missing = sorted(name for name in commands if f"`steplog {name}`" not in text)
    assert commands, "steplog.cli has no click group"
    assert not missing, f"describe in docs/settings.md: {missing}"


def test_every_environment_variable_is_in_the_docs():
    used = {
        name for file in MODULES for name in re.findall(r"\b(?:STEPLOG|TELLURIO)_[A-Z][A-Z_]+", file.read_text("utf-8"))
    }
    text = documents()
    missing = sorted(name for name in used if f"`{name}`" not in text)
    assert not missing, f"describe in docs/settings.md: {missing}"


def test_the_docs_list_every_setting_as_it_is():
    from steplog.settings import documented

    rows = [
        f"| `{name}` | {', '.join(f'`{variable}`' for variable in variables.split(', '))} | {default} | {meaning} |"
        for name, variables, default, meaning in documented()
    ]
    text = (ROOT / "docs" / "settings.md").read_text("utf-8")
    missing = "\n".join(row for row in rows if row not in text)
    assert not missing, f"the table in docs/settings.md lacks:\n{missing}"


def repository() -> list[Path]:
    """What git tracks or would track; nothing where this is no checkout."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_path_of_the_machine_it_was_written_on():
    found = {}
    for file in repository():
        hits = MACHINE_PATH.findall(file.read_bytes().decode("utf-8", "replace"))
        if hits:
            found[name_of(file)] = hits
    assert not found, f"paths of one machine: {found}"


def test_links_between_the_documents_lead_somewhere():
    links = [
        (name_of(file), target, (file.parent / target).exists())
        for file in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", file.read_text("utf-8"))
    ]
    assert not [f"{file}: {target}" for file, target, there in links if not there]


def test_every_guarantee_names_a_test_that_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "guarantees.md").read_text("utf-8"))
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / file).exists() or test not in defined(tree_of(ROOT / file))
    ]
    assert named
    assert not missing, f"docs/guarantees.md names tests that are not there: {missing}"


def test_the_fast_tier_has_the_tests_of_every_pure_module():
    fast = runpy.run_path(str(ROOT / "scripts" / "check"))["FAST"]
    assert not [path for path in fast if not (ROOT / path).exists()]
    tests = {f"tests/{Path(name).parent}/test_{Path(name).name}" for name in PURE}
    missing = [
        test for test in sorted(tests) if (ROOT / test).exists() and not any(test.startswith(path) for path in fast)
    ]
    assert not missing, f"add to FAST in scripts/check: {missing}"


def test_the_version_is_said_once():
    import steplog

    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert getattr(steplog, "__version__", version) == version
