"""The tables of settings, commands, crash tests and resumed runs in the docs, and the entries of names.

A page has them between ``<!-- begin: NAME -->`` and ``<!-- end -->``; what stands there is written anew by

    python tests/docs/reference.py

and a test says where a page is not as that would leave it.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a program of its own

from crash.published import published
from docs import adapters, names
from end_to_end import resuming
from once import published as once
from steplog.cli import main
from steplog.settings import documented

__all__ = ["PAGES", "rewritten", "tables"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [DOCS / name for name in ("guarantees.md", "settings.md", "commands.md", "processes.md", "python.md")]
PAGES += sorted((DOCS / "python").glob("*.md"))
RESULTS = ROOT / "tests" / "crash" / "results.jsonl"
ONCE = ROOT / "tests" / "once" / "results.jsonl"
_PART = re.compile(r"(<!-- begin: ([\w. ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_BOUNDS = re.compile(r"; [\d<=]*x[<>]=\d+")  # the range of a number, which its error says


@functools.cache
def tables() -> dict[str, str]:
    """Each by its name: what is made of data, and each command that has options."""
    made = {
        "settings": _settings(),
        "commands": _commands(),
        "names": names.index(),
        "crashes": published(RESULTS.read_text("utf-8")),
        "once": once.published(ONCE.read_text("utf-8")),
        "resuming": _table(*_head_and_rows(resuming.rows())),
    }
    made |= names.parts() | adapters.parts()
    for name, command in _each_command():
        if rows := list(_options(command)):
            made[name] = _table(("option", "what"), rows)
    return made


def rewritten(text: str) -> str:
    """A page with its tables as they should be. Raises KeyError for a table of no such name."""
    known = tables()
    return _PART.sub(lambda part: f"{part[1]}{known[part[2]]}{part[3]}", text)


def _head_and_rows(rows: list[tuple[str, ...]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    return rows[0], rows[1:]


def _settings() -> str:
    rows = [
        (f"`{name}`", ", ".join(f"`{variable}`" for variable in variables.split(", ")), default, meaning)
        for name, variables, default, meaning in documented()
    ]
    return _table(("setting", "environment", "default", "what"), rows)


def _commands() -> str:
    return _table(("command", "what"), [(_usage(name, made), _short(made)) for name, made in _each_command()])


def _each_command(group: click.Group = main, before: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield before + name, command
        if isinstance(command, click.Group):
            yield from _each_command(command, f"{before}{name} ")


def _usage(name: str, command: click.Command) -> str:
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    words = [each.metavar or (f"{each.name}" if each.required else f"[{each.name}]").upper() for each in arguments]
    return " ".join((f"`steplog {name}`", *words))


def _short(command: click.Command) -> str:
    return " ".join((command.help or "").split("\n\n")[0].split())


def _options(command: click.Command) -> Iterator[tuple[str, str]]:
    context = click.Context(command)
    for parameter in command.get_params(context):
        record = None if "--help" in parameter.opts else parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            usage, what = record
            yield f"`{usage.replace(' RANGE', '')}`", _BOUNDS.sub("", " ".join(what.split()))


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:], ""])


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(rewritten(page.read_text("utf-8")), "utf-8")
