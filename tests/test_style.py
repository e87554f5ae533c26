"""The house style, as far as a machine can tell: structure, size, names, docs, and what an import costs."""

from __future__ import annotations

import ast
import functools
import graphlib
import importlib
import importlib.metadata
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import click
import pytest

from arrows import ARROWS

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "steplog"
LINES_MAX = 500
TEST_LINES_MAX = 600  # a list of cases is read from one end to the other, not held in mind
FUNCTION_LINES_MAX = 60
TEST_NAME_MAX = 80

UPWARD: dict[tuple[str, str], str] = {}
SAYS_PURE = re.compile(r"\bPure[.,:]")  # in the docstring of a module
PURE_AT_LEAST = {  # formats, wire, verdicts, what to send next (design, rule 3)
    "journal/cursor.py",
    "journal/extents.py",
    "journal/slot.py",
    "journal/range.py",
    "journal/frame.py",
    "journal/segment.py",
    "delivery/wire.py",
    "delivery/exchange.py",
    "delivery/verdicts.py",
    "delivery/sender.py",
    "filters/__init__.py",
    "filters/dates.py",
    "filters/fields.py",
    "filters/meaning.py",
    "filters/parsing.py",
    "media/encoding.py",
    "media/picture_size.py",
    "media/png.py",
    "media/signatures.py",
    "media_value.py",
    "naming.py",
    "reading/table_query.py",
    "reading/rows.py",
    "records/by_name.py",
    "records/cells.py",
    "records/numbering.py",
    "records/points.py",
    "records/run_fields.py",
    "server/permissions.py",
    "server/records/batch.py",
    "server/records/block.py",
    "server/records/chunk.py",
    "column_format.py",
    "server/records/columns.py",
    "server/records/grid.py",
    "server/records/log_row.py",
    "server/records/summary.py",
    "server/run_document.py",
    "server/records/totals.py",
    "server/store_types.py",
    "server/validation.py",
}
ACYCLIC = ("server", "testing")
IMPURE_IMPORTS = {"os", "random", "socket", "threading", "time"}
LATE_IMPORTS = {"click", "plotille", "prometheus_client", "requests", "rich", "starlette", "urllib3", "uvicorn"}
VAGUE = re.compile(r"manager|handler|helper|util", re.IGNORECASE)
OTHERS_WORDS = {  # what a thing is to the library that calls it
    "RunLogHandler",  # a logging.Handler
    "_create_opt_params_handler",  # of Ignite's BaseLogger
    "_create_output_handler",
    "util",  # wandb.util, as programs import it
}
MACHINE_PATH = re.compile(r"(?<![\w.~/:-])/(?:home|root|Users|work|opt|tmp/proto)/[\w.]")

# What waits for the wall clock, also in the text of a program; and the tests that do, each with its reason.
SLEEP = re.compile(r"\b(?:time|asyncio)\.sleep\((?!0\))|\bEvent\(\)\.wait\((?!\))|from time import .*\bsleep\b")
SLEEPERS = {
    "tests/polling.py": "what all tests wait with that have a condition to wait for",
    "tests/crash/file_kills.py": "processes and a server are killed at random moments",
    "tests/crash/figures.py": "a program that logs at a training loop's pace",
    "tests/crash/power_cuts.py": "the power is cut at a random moment",
    "tests/crash/test_full_disk.py": "a program that logs for as long as its disk takes to fill up",
    "tests/crash/test_gone.py": "memory is removed at a random moment, and is made again by a process that nobody asks",
    "tests/crash/victim.py": "a program that logs at a pace, until it is killed",
    "tests/delivery/test_agent_threads.py": "what idling costs is measured over a time in which nothing happens",
    "tests/end_to_end/test_deadlines.py": "a program that logs for two seconds, in which no call takes long",
    "tests/end_to_end/test_delivery.py": "a program that logs for as long as its server is killed and started again",
    "tests/end_to_end/test_other_users.py": "maintenance looks around several times, and is to find nothing",
    "tests/end_to_end/test_room.py": "maintenance runs twice, and nothing that it does shows",
    "tests/end_to_end/test_small_machines.py": "a program that logs at a pace, beside another that takes its memory",
    "tests/end_to_end/test_small_memory.py": "programs that fill memory at a pace, side by side",
    "tests/end_to_end/test_status.py": "a thread that logs on at a pace while its program ends",
    "tests/once/delivery.py": "clients that ask again at a pace while their server is away",
    "tests/test_mutate.py": "the text of a program that never ends by itself",
    "tests/server/test_slow_clients.py": "clients that are slow, to a server with the event loop's own clock",
}

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
OTHERS = (ast.ClassDef, ast.Import, ast.ImportFrom)
Named: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom"

MODULES = sorted(SRC.rglob("*.py"))
PEERS = ROOT / "benchmarks" / "out"  # what the benchmarks leave there, among it the peers' own files
BESIDE = [file for folder in ("tests", "benchmarks", "examples") for file in (ROOT / folder).rglob("*.py")]
PYTHON = sorted([*MODULES, *(file for file in BESIDE if PEERS not in file.parents)])


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def room_of(module: str) -> str:
    """The line of ARROWS for a module, named without ``steplog.``; the longest that covers it."""
    if module in ("", "<public>"):
        return "__init__"
    return max((room for room in ARROWS if f"{module}.".startswith(f"{room}.")), key=len, default="")


def module_of(file: Path) -> str:
    parts = file.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


@functools.cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), str(file))


@functools.cache
def found_in(file: Path) -> list[Named]:
    """The functions, classes and imports of a file, wherever in it."""
    return [node for node in ast.walk(tree_of(file)) if isinstance(node, (*FUNCTIONS, *OTHERS))]


def functions_of(file: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in found_in(file) if isinstance(node, FUNCTIONS)]


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports; ``from a import b`` gives ``a.b`` where that is a module."""
    for node in found_in(file):
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


def own_imports(file: Path) -> set[str]:
    """What a module imports of steplog, without the prefix; "" is the package itself."""
    split = (module.partition(".") for module in imported(file))
    return {inner for package, _, inner in split if package == "steplog"}


def test_imports_between_the_folders_run_one_way():
    for file in MODULES:
        room = room_of(module_of(file))
        assert room, f"give {module_of(file)} a line in ARROWS"
        for inner in own_imports(file):
            target = room_of(inner)
            granted = any(
                f"{inner or '<public>'}.".startswith(f"{name}.") and room_of(name) == target for name in ARROWS[room]
            )
            assert granted or target == room, (
                f"{name_of(file)}: {room} may not import {inner}: it may import {sorted(ARROWS[room])}"
            )


def test_arrows_point_down():
    rank = {room: height for height, room in enumerate(ARROWS)}
    upward = {(room, name) for room, names in ARROWS.items() for name in names if rank[room_of(name)] >= rank[room]}
    assert upward == UPWARD.keys(), "put the lines of ARROWS in order; what must point up has its reason in UPWARD"


def test_sqlite_is_spoken_to_in_its_own_folder_alone():
    """Another engine beside it then has all to itself that it needs. Other programs' databases have one reader."""
    users = {name_of(file) for file in MODULES if "sqlite3" in imported(file)}
    others = {name for name in users if not name.startswith("src/steplog/server/sqlite/")}
    assert users - others
    assert others == {"src/steplog/formats/sqlite_file.py"}


def test_no_imports_go_in_a_circle_types_included():
    graph = {module_of(file): own_imports(file) for file in MODULES}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"imports in a circle: {' <- '.join(error.args[1])}", pytrace=False)


def impure_at_run_time(tree: ast.Module) -> set[str]:
    """What a module imports from IMPURE_IMPORTS and uses outside annotations."""
    bound = {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
        if (getattr(node, "module", None) or alias.name).partition(".")[0] in IMPURE_IMPORTS
    }
    parts = [getattr(node, part, None) for node in ast.walk(tree) for part in ("annotation", "returns")]
    annotated = {id(name) for part in parts if part is not None for name in ast.walk(part)}
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in annotated]
    return bound & {name.id for name in names}


def is_pure(file: Path) -> bool:
    return SAYS_PURE.search(ast.get_docstring(tree_of(file)) or "") is not None


def test_pure_code_imports_neither_clock_nor_threads_nor_system():
    used = {name_of(file): sorted(impure_at_run_time(tree_of(file))) for file in MODULES if is_pure(file)}
    assert used
    impure = {name: modules for name, modules in used.items() if modules}
    assert not impure, f"what says it is pure: pass in what it takes from these: {impure}"


def test_the_formats_and_what_to_send_next_are_pure():
    impure = sorted(name for name in PURE_AT_LEAST if not (SRC / name).exists() or not is_pure(SRC / name))
    assert not impure, f"say Pure. in the docstring, so that it is tested: {impure}"


def test_a_file_fits_in_its_room():
    lines = {file: len(file.read_text("utf-8").splitlines()) for file in PYTHON}
    rooms = {file: TEST_LINES_MAX if file.is_relative_to(ROOT / "tests") else LINES_MAX for file in PYTHON}
    long = {name_of(file): lines[file] for file in PYTHON if lines[file] > rooms[file]}
    assert not long, f"split these where they hold two things; their lines: {long}"


def test_a_function_fits_on_a_screen():
    lines = {
        f"{name_of(file)}, line {node.lineno}, {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for file in PYTHON
        for node in functions_of(file)
    }
    long = {name: count for name, count in lines.items() if count > FUNCTION_LINES_MAX}
    assert not long, f"take a step out of these; their lines: {long}"


def test_a_test_sleeps_only_where_nothing_else_serves_and_says_why():
    sleeping = {
        name_of(file)
        for file in (ROOT / "tests").rglob("*.py")
        if file != Path(__file__) and SLEEP.search(file.read_text("utf-8"))
    }
    assert not sleeping - set(SLEEPERS), (
        "wait for an event, or with polling.wait_until; else give the reason in SLEEPERS"
    )
    assert not set(SLEEPERS) - sleeping, "sleeps no more: take it out of SLEEPERS"


def test_names_say_what_a_thing_does():
    vague = {
        f"{name_of(file)}: {name}"
        for file in MODULES  # a test may well be about a signal handler
        for name in (made_in(file) | defined(tree_of(file)) | {file.stem}) - OTHERS_WORDS
        if VAGUE.search(name)
    }
    assert not vague, f"say what it does instead: {sorted(vague)}"


def made_in(file: Path) -> set[str]:
    return {node.name for node in found_in(file) if isinstance(node, (*FUNCTIONS, ast.ClassDef))}


def test_the_name_of_a_test_is_a_sentence_of_at_most_80_characters():
    names = [node.name for file in PYTHON for node in functions_of(file) if node.name.startswith("test_")]
    assert not [name for name in names if len(name) > TEST_NAME_MAX], "say what holds in fewer words"


def test_a_module_begins_with_its_specification():
    bare = [name_of(file) for file in PYTHON if not ast.get_docstring(tree_of(file))]
    assert not bare, f"these need a docstring: purpose, invariants, limits: {bare}"


def test_all_lists_what_is_public():
    for file in MODULES:
        tree = tree_of(file)
        public = {name for name in defined(tree) if not name.startswith("_")}
        listed = set(exported(tree) or ())
        if file.name == "__init__.py":
            assert public <= listed, f"{name_of(file)}: not in __all__: {sorted(public - listed)}"
        elif public:
            assert listed == public, (
                f"{name_of(file)}: __all__ is not {sorted(public)}: list the name, or begin it with _"
            )


def test_every_name_that_steplog_lists_is_there():
    import steplog

    missing = [name for name in getattr(steplog, "__all__", []) if not hasattr(steplog, name)]
    assert not missing, f"in steplog.__all__ and nowhere else: {missing}"


@pytest.mark.parametrize(
    "module",
    [
        "steplog",
        *(f"steplog.compat.{name}" for name in ("mlflow", "tensorboard", "tensorboard_sync", "trackio", "wandb")),
    ],
)
def test_importing_loads_nothing_heavy_and_touches_nothing(tmp_path, module):
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
import {module}
loaded = sorted({LATE_IMPORTS | {"steplog.run", "steplog.client"}!r} & set(sys.modules))
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
    files, found = repository(), {}
    if not files:
        pytest.skip("not a checkout of git")
    for file in files:
        hits = MACHINE_PATH.findall(file.read_bytes().decode("utf-8", "replace"))
        if hits:
            found[name_of(file)] = hits
    assert not found, f"paths of one machine: {found}"


def test_links_between_the_documents_lead_somewhere():
    links = [
        (name_of(file), target, (file.parent / target).exists())
        for file in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")]
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", file.read_text("utf-8"))
    ]
    assert not [f"{file}: {target}" for file, target, there in links if not there]


@pytest.mark.parametrize("page", ["guarantees.md", "security.md"])
def test_every_guarantee_names_a_test_that_exists(page):
    named = re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", (ROOT / "docs" / page).read_text("utf-8"))
    missing = [f"{file}::{test}" for file, test in named if test not in named_tests(ROOT / file)]
    assert named
    assert not missing, f"docs/{page} names tests that are not there: {missing}"


def named_tests(file: Path) -> set[str]:
    """As pytest names them: ``test_x``, ``TestX::test_y``."""
    names = set()
    for node in tree_of(file).body if file.exists() else []:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        names |= {prefix + each.name for each in inside if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))}
    return names


def test_the_fast_tier_has_the_tests_of_every_pure_module():
    fast = runpy.run_path(str(ROOT / "scripts" / "check"))["FAST"]
    assert not [path for path in fast if not (ROOT / path).exists()]
    pure = [file.relative_to(SRC) for file in MODULES if is_pure(file)]
    tests = {(Path("tests") / name.parent / f"test_{name.name}").as_posix() for name in pure}
    missing = [
        test for test in sorted(tests) if (ROOT / test).exists() and not any(test.startswith(path) for path in fast)
    ]
    assert not missing, f"add to FAST in scripts/check: {missing}"


def test_the_version_is_in_pyproject_alone():
    import steplog

    assert steplog.__version__ == importlib.metadata.version("steplog")
    version = re.escape(declared_version().partition(".dev")[0])
    says = re.compile(
        rf"^(?!.*Measured ).*(?<![\d.]){version}\b", re.MULTILINE
    )  # of what a figure was measured is for ever
    files = [*ROOT.glob("*.*"), *(ROOT / "docs").rglob("*.*"), *(ROOT / "deploy").iterdir(), *MODULES]
    texts = [file for file in files if file.suffix not in {".png", ".so", ".pyc"} and file.is_file()]
    saying = {str(file.relative_to(ROOT)) for file in texts if says.search(file.read_text("utf-8"))}
    assert saying <= {"pyproject.toml", "CHANGELOG.md"}


def test_the_changelog_begins_with_the_version_that_is_made():
    heading = re.search(r"^## (.+), (not released|\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading
    made, released = heading[1], heading[2] != "not released"
    assert declared_version() == (made if released else f"{made}.dev0")


def declared_version() -> str:
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    return version


def test_parameters_of_statements_have_a_name_or_none():
    """``?1`` counts as a name since Python 3.12, which warns of values in a sequence, and 3.14 refuses them."""
    files = [file for file in MODULES if {"sql", "sqlite"} & set(file.parts)]
    assert files
    assert [name_of(file) for file in files if re.search(r"\?\d", file.read_text("utf-8"))] == []
