"""Every example in the README and the docs does what its page says; and one that does not is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
PAGES = pages()
PROGRAMS = [(page, program) for page in PAGES for program in programs(read(page))]
READ_FIRST = (
    "README.md",
    "docs/index.md",
    "docs/first-steps.md",
    "docs/media.md",
    "docs/artifacts.md",
)  # the others are slow


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def run(program: Program, name: str, directory: Path) -> None:
    """Run a program as a user does who has started ``steplog serve`` and has configured nothing."""
    file = directory / f"{Path(name).stem}.py"
    file.write_text(program.source)
    with ServerProcess(directory / "state", "--user", "me") as server:
        environment = os.environ | {"STEPLOG_DIR": str(server.directory), "PYTHONPATH": str(SOURCES)}
        warnings = [] if name == FRAMEWORKS else ["-W", "error", "-W", FORK_WARNING]
        done = subprocess.run(
            [sys.executable, *warnings, str(file)],
            env=environment,
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        if done.returncode:
            raise ExampleError(f"{name}: exit code {done.returncode}\n{done.stderr}")
        check_output(done.stdout, program.outputs)
        code, errors = server.end()
        assert (code, errors) == (0, "")


@pytest.mark.parametrize(
    ("page", "program"),
    [
        pytest.param(
            page,
            made,
            id=f"{name_of(page)}:{made.line}",
            marks=() if name_of(page) in READ_FIRST else pytest.mark.slow,
        )
        for page, made in PROGRAMS
    ],
)
def test_the_examples_of_a_page_run_and_print_what_it_says(page, program, tmp_path):
    if program.missing():
        pytest.skip(f"{program.missing()} is not installed")
    (tmp_path / "state").mkdir()
    run(program, name_of(page), tmp_path)


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
    (tmp_path / "state").mkdir()
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
