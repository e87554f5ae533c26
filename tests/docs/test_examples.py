"""Every example in the README and the docs does what its page says; and one that does not is found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.examples import (
    ROOT,
    ExampleError,
    Program,
    check_calls,
    check_commands,
    check_output,
    check_settings,
    check_variables,
    pages,
    programs,
    read,
)
from server.process import SOURCES, ServerProcess

DEADLINE_S = 120.0
FRAMEWORKS = "docs/integrations.md"  # whose programs are others' code for the most part, which warns of others
FORK_WARNING = "ignore:This process:DeprecationWarning"  # CPython's own, at a fork beside threads
NAMES = ROOT / "docs" / "python"
PAGES = pages()
PROGRAMS = [(page, program) for page in PAGES for program in programs(read(page))]
READ_FIRST = (
    "README.md",
    "docs/index.md",
    "docs/first-steps.md",
    "docs/media.md",
    "docs/artifacts.md",
    "docs/python/active-run.md",
)  # the others are slow


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def run(program: Program, name: str, directory: Path) -> None:
    """Run a program as a user does who has started ``steplog serve`` and has configured nothing."""
    (directory / "state").mkdir(exist_ok=True)
    with ServerProcess(directory / "state", "--user", "me") as server:
        run_beside(server.directory, program, name, directory)
        assert server.end() == (0, "")


def run_beside(state: Path, program: Program, name: str, directory: Path) -> None:
    """Run a program in ``directory`` beside the server whose files are in ``state``."""
    file = directory / f"{Path(name).stem}.py"
    file.write_text(program.source)
    done = subprocess.run(
        [sys.executable, *([] if name == FRAMEWORKS else ["-W", "error", "-W", FORK_WARNING]), str(file)],
        env=os.environ
        | {"STEPLOG_DIR": str(state), "STEPLOG_MEMORY_DIR": str(directory / "memory"), "PYTHONPATH": str(SOURCES)},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    if done.returncode:
        raise ExampleError(f"{name}: exit code {done.returncode}\n{done.stderr}")
    check_output(done.stdout, program.outputs)


def cases(programs: list[tuple[Path, Program]]) -> list[Any]:
    """A case a program; those of pages that nobody reads first are slow tests."""
    return [
        pytest.param(
            page,
            made,
            id=f"{name_of(page)}:{made.line}",
            marks=() if name_of(page) in READ_FIRST else pytest.mark.slow,
        )
        for page, made in programs
    ]


@pytest.mark.parametrize(("page", "program"), cases([each for each in PROGRAMS if each[0].parent != NAMES]))
def test_the_examples_of_a_page_run_and_print_what_it_says(page, program, tmp_path):
    if program.missing():
        pytest.skip(f"{program.missing()} is not installed")
    run(program, name_of(page), tmp_path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One for all examples of names, of which there are many."""
    with ServerProcess(tmp_path_factory.mktemp("server"), "--user", "me") as server:
        yield server
        assert server.end() == (0, "")


@pytest.fixture
def empty_server(server: ServerProcess) -> Iterator[ServerProcess]:
    yield server
    for project in server.ask("GET", "/me/projects/").json():
        server.ask("DELETE", f"/me/projects/{project['slug']}/")
    for left in server.directory.glob("*.*"):  # journals of runs
        if left.is_dir() and not left.name.startswith("server."):
            shutil.rmtree(left)


@pytest.mark.parametrize(("page", "program"), cases([each for each in PROGRAMS if each[0].parent == NAMES]))
def test_the_example_of_a_name_runs_by_itself(page, program, empty_server, tmp_path):
    if program.missing():
        pytest.skip(f"{program.missing()} is not installed")
    run_beside(empty_server.directory, program, name_of(page), tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_calls_variables_and_settings_of_a_page_are_taken(page, tmp_path):
    text = read(page)
    check(text, tmp_path)


def check(text: str, directory: Path) -> None:
    check_commands(text)
    check_calls(text)
    check_variables(text)
    check_settings(text, directory)


def page_of(*parts: tuple[str, str]) -> str:
    return "# Title\n\n" + "\n".join(f"Some text.\n\n```{language}\n{text}\n```\n" for language, text in parts)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([("python", "import steplog\nsteplog.initialize()")], 'page.py", line 7'),
        ([("python", "a = 1"), ("python", "assert a == 2")], "assert a == 2"),
        ([("python", "import warnings\nwarnings.warn('old', DeprecationWarning)")], "DeprecationWarning: old"),
        ([("python", "print('one')\nprint('two')"), ("output", "two\none")], "said to be printed:\ntwo\none"),
        ([("python", "print('onerous')"), ("output", "one")], "said to be printed:\none"),
    ],
)
def test_a_broken_example_is_found(parts, said, tmp_path):
    (program,) = programs(page_of(*parts))
    with pytest.raises(ExampleError) as caught:
        run(program, "page.md", tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        page_of(("sh", "steplog serve --prt 8787")),
        page_of(("sh", "STEPLOG_QUIET=1 steplog sink")),
        page_of(("sh", "srun --ntasks=1 steplog sync --folow")),
        page_of(("sh", "STEPLOG_QUITE=1 python train.py")),
        page_of(("sh", "pip install steplog && .venv/bin/steplog ls a b")),
        page_of(("toml", "finish_timeout = 5")),
        page_of(("toml", 'finish_timeout_s = "soon"')),
        page_of(("toml", "[tool.steplog]\nurl = 3")),
        "Type `steplog sohw`.",
        "It is `STEPLOG_URI`.",
        "It is `steplog.initialize()`.",
        'It is `run.log("loss", 0.3, stepp=7)`.',
    ],
)
def test_a_command_a_call_a_variable_or_a_setting_that_is_not_there_is_found(text, tmp_path):
    with pytest.raises(ExampleError):
        check(text, tmp_path)


@pytest.mark.parametrize("text", ["```pyhton\n1/0\n```\n", "```\nsteplog serve\n```\n", "```python\n1/0\n"])
def test_a_block_that_nobody_would_check_is_found(text):
    with pytest.raises(ExampleError):
        programs(text)


def test_a_block_is_skipped_only_for_a_module_that_is_not_there():
    text = "<!-- needs: no_such_module -->\n```python\n1/0\n```\n<!-- needs: json -->\n```python\n1/0\n```\n"
    absent, present = programs(text)
    assert (absent.missing(), present.missing()) == ("no_such_module", None)
    (inner,) = programs("<!-- needs: json no_such_module.inner -->\n```python\n1/0\n```\n")
    assert inner.missing() == "no_such_module.inner"


def test_a_block_that_goes_on_has_what_is_before_it_and_leaves_nothing_behind():
    blocks = ["a = 1", "<!-- with: json no_such_module -->\nb = a", "<!-- with: json -->\nc = a", "d = a"]
    fences = [f"{mark}\n```python\n{code}\n```\n" for mark, _, code in (each.rpartition("\n") for each in blocks)]
    made = programs("\n".join(fences))
    sources = [[line for line in program.source.splitlines() if line] for program in made]
    assert sources == [["a = 1", "d = a"], ["a = 1", "b = a"], ["a = 1", "c = a"]]
    assert [program.missing() for program in made] == [None, "no_such_module", None]


def test_anything_may_stand_where_an_output_has_dots():
    check_output("a 1 b\nc\nd\n", ["a … b", "…d"])
    with pytest.raises(ExampleError):
        check_output("a 1 b\nc\n", ["c", "a … b"])
