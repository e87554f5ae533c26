"""The examples of the README and the docs, as they are executed by the tests.

A page is Markdown with fenced blocks, each of a language that somebody checks:

========  ==============================================================================================================
python    run. The blocks of a page are one program, in their order, beside a ``steplog serve`` that is found by whoever
          has nothing configured. The program's line numbers are those of the page.
output    what the block before it prints, there or later; ``…`` stands for anything
sh        each ``steplog`` command in it is parsed by the command line, each ``STEPLOG_`` variable is one that is read
toml      each is a ``steplog.toml``, or a ``pyproject.toml``, that the settings are read from
text      not checked: drawings
========  ==============================================================================================================

A comment on the line before a python block makes it a program of its own: ``<!-- alone -->``, or
``<!-- needs: torch -->``; with ``<!-- with: pandas pyarrow -->``, one that begins with all blocks before it that have
no comment. That a module is not installed is the only reason to skip one.
Commands between backticks in a text are parsed like those in sh blocks; what ends in a full stop or in … is a message.
Calls there of what ``steplog`` has, and of a ``run``, are bound to its arguments, with ``…`` for any.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import inspect
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

import steplog
from steplog.cli import main
from steplog.settings import documented, resolve

ROOT = Path(__file__).parents[2]
LANGUAGES = {"python", "output", "sh", "toml", "text", "yaml"}
OTHER_VARIABLES = {"STEPLOG_INSPECT", "STEPLOG_SERVE_API_KEY", "STEPLOG_STORE", "_STEPLOG_COMPLETE"}
OTHER_VARIABLES |= {"STEPLOG_TEST_POSTGRESQL", "STEPLOG_TEST_STORE"}  # of the tests
_FENCE = re.compile(r"^(`{3,})([^`\n]*)$")
_MARK = re.compile(r"^<!-- (?:(alone)|(needs|with): ([\w. ]+)) -->$")
_ASSIGNMENT = re.compile(r"^(?:export )?[A-Za-z_]\w*=\S*$")
_CALL = re.compile(r"`((?:steplog|run)\.\w+\(.*?\))`")
_VARIABLE = re.compile(r"\b_?STEPLOG_[A-Z_]*[A-Z]\b")


class ExampleError(AssertionError):
    """An example is not what it says: the page, the line, and why."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line of the page that it begins in (from 1), and its mark."""

    language: str
    text: str
    line: int
    alone: bool = False
    needs: tuple[str, ...] = ()
    goes_on: bool = False


@dataclass(frozen=True)
class Program:
    """Python of a page that runs as one, and what it prints."""

    source: str
    outputs: tuple[str, ...]
    line: int
    needs: tuple[str, ...]

    def missing(self) -> str | None:
        """The module for the want of which it is skipped."""
        return next((name for name in self.needs if not _is_there(name)), None)


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # what it is in is not there
        return False


def pages() -> list[Path]:
    """Every page that has examples."""
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "examples" / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]


def read(page: Path) -> str:
    """A page, all of whose blocks can be told."""
    text = page.read_text("utf-8")
    try:
        list(programs(text))
    except ExampleError as error:
        raise ExampleError(f"{page.relative_to(ROOT)}, {error}") from None
    return text


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in their order."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is None:
            at += 1
            continue
        end = next((n for n in range(at + 1, len(lines)) if lines[n].strip() == fence[1]), None)
        if end is None:
            raise ExampleError(f"line {at + 1}: the block has no end")
        language = fence[2].strip()
        if language not in LANGUAGES:
            raise ExampleError(f"line {at + 1}: {language!r} is none of {sorted(LANGUAGES)}")
        mark = _MARK.match(lines[at - 1]) if at else None
        needs = tuple((mark[3] or "").split()) if mark else ()
        goes_on = mark is not None and mark[2] == "with"
        yield Block(language, "\n".join(lines[at + 1 : end]), at + 2, mark is not None, needs, goes_on)
        at = end + 1


def programs(text: str) -> list[Program]:
    """What of a page is run: the blocks with a comment, each by itself or after the others, and all others as one."""
    parts: list[list[Block]] = []
    common: list[Block] = []
    last: list[Block] | None = None
    for block in blocks(text):
        if block.language == "python":
            last = list(common) if block.goes_on else [] if block.alone else common
            if block.alone or not common:
                parts.append(last)
            last.append(block)
        elif block.language == "output":
            if last is None:
                raise ExampleError(f"line {block.line}: an output of nothing")
            last.append(block)
    return [_program(part) for part in parts]


def _program(part: list[Block]) -> Program:
    lines: list[str] = []
    for block in part:
        if block.language == "python":
            lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
    outputs = tuple(block.text for block in part if block.language == "output")
    needs = tuple(name for block in part for name in block.needs)
    own = next((block for block in part if block.alone), part[0])
    return Program("\n".join(lines) + "\n", outputs, own.line, needs)


def check_output(printed: str, outputs: Iterable[str]) -> None:
    """Raise if the outputs do not stand in what was printed, whole lines, one after the other."""
    rest = printed
    for output in outputs:
        wanted = ".*?".join(map(re.escape, output.split("…")))
        found = re.search(f"^{wanted}$", rest, re.DOTALL | re.MULTILINE)
        if found is None:
            raise ExampleError(f"said to be printed:\n{output}\nprinted, of what is left:\n{rest}")
        rest = rest[found.end() :]


def commands(text: str) -> Iterator[str]:
    """The commands of a page: lines of sh blocks, and what stands between backticks and begins with ``steplog``."""
    for block in blocks(text):
        if block.language == "sh":
            yield from block.text.replace("\\\n", " ").splitlines()
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"`(steplog [^`]+[^`.…])`", prose)


def check_commands(text: str) -> None:
    """Raise for a ``steplog`` command that the command line does not take."""
    for line in commands(text):
        for word in shlex.split(line.replace("$(", "").replace(")", ""), comments=True):
            if word.startswith("STEPLOG_"):
                _check_variable(word.split("=")[0])
        for part in re.split(r"&&|\|\|?|;|(?<!\d)>", line):
            words = shlex.split(part.strip().removeprefix("$ "), comments=True)
            while words and (_ASSIGNMENT.match(words[0]) or words[0] in ("exec", "srun") or words[0][0] == "-"):
                words.pop(0)
            if words and Path(words[0]).name == "steplog" and not {"COMMAND", "…"} & set(words):
                _check_command(line, words[1:])


def check_calls(text: str) -> None:
    """Raise for a call of ``steplog.…()`` or ``run.…()`` between backticks that its arguments do not allow."""
    for written in _CALL.findall(text):
        with contextlib.suppress(SyntaxError):
            made = ast.parse(written.replace("…", "..."), mode="eval").body
            if isinstance(made, ast.Call) and isinstance(made.func, ast.Attribute):
                _check_call(written, made, made.func)


def _check_call(written: str, made: ast.Call, called: ast.Attribute) -> None:
    owners = (steplog,) if ast.unparse(called.value) == "steplog" else (steplog.Run, steplog.ReadOnlyRun)
    owner = next((each for each in owners if hasattr(each, called.attr)), None)
    found = getattr(owner, called.attr, None)
    if found is None:
        raise ExampleError(f"{written}: there is no {called.attr}")
    own = [] if owner is steplog else [None]
    try:
        inspect.signature(found).bind_partial(
            *own, *made.args, **{each.arg: each.value for each in made.keywords if each.arg is not None}
        )
    except TypeError as error:
        raise ExampleError(f"{written}: {error}") from None


def check_variables(text: str) -> None:
    """Raise for a ``STEPLOG_`` variable that nothing reads."""
    for name in _VARIABLE.findall(text):
        _check_variable(name)


def _check_variable(name: str) -> None:
    known = {variable for _, variables, _, _ in documented() for variable in variables.split(", ")}
    if name not in known | OTHER_VARIABLES:
        raise ExampleError(f"nothing reads {name}")


def _check_command(line: str, words: list[str]) -> None:
    context = click.Context(main, info_name="steplog")
    flags = {option for parameter in main.get_params(context) for option in parameter.opts}
    while words and words[0] in flags:
        words = words[1:]
        if not words:
            return
    group: click.Group = main
    while True:
        name, *rest = words or [""]
        command = group.get_command(context, name)
        if command is None:
            raise ExampleError(f"{line}: there is no command {name!r}")
        if not isinstance(command, click.Group):
            break
        if not rest:
            return  # it is only named
        group, words, context = command, rest, click.Context(command, info_name=name, parent=context)
    try:
        command.make_context(name, rest, parent=context)
    except click.exceptions.Exit:
        pass  # --help
    except click.UsageError as error:
        if isinstance(error, click.MissingParameter) and not rest:
            return  # it is only named
        raise ExampleError(f"{line}: {error.format_message()}") from None


def check_settings(text: str, directory: Path) -> None:
    """Raise for a file of settings that is not taken as one."""
    for block in blocks(text):
        if block.language == "toml":
            name = "pyproject.toml" if "[tool." in block.text else "steplog.toml"
            (directory / name).write_text(block.text)
            try:
                resolve(os.environ, directory)
            except ValueError as error:
                raise ExampleError(f"line {block.line}: {error}") from None
            finally:
                (directory / name).unlink()
