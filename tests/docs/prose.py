"""Docstrings and signatures as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence

__all__ = ["first_sentence", "markdown", "signature"]

LINE_MAX = 100
CLAUSE_MIN = 20  # characters before a colon that say enough
_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$")
_ENTRY = re.compile(r"^([\w, ]+|requests\.HTTPError(?:, \w+)*): (.*)$")
_TERM = re.compile(r"^(``\w+``(?:, ``\w+``)*) {2,}(\S.*)$")


def markdown(docstring: str | None) -> str:
    """A docstring's text: its sections as lists, without its code, as the example beside it is one that is run."""
    return "\n".join(_lines(inspect.cleandoc(docstring or "").splitlines())).rstrip()


def first_sentence(docstring: str | None) -> str:
    """What it begins with, on one line, without a full stop."""
    text = " ".join(inspect.cleandoc(docstring or "").split("\n\n")[0].split())
    whole = re.split(r"(?<=[\w)`])[.;] |[.:]$", text)[0]
    before, _, _ = whole.partition(": ")
    return _inline(before if len(before) >= CLAUSE_MIN else whole)


def signature(name: str, given: Sequence[str], result: str) -> str:
    """A call, on one line if it is short enough, else with a line an argument."""
    end = f") -> {result}" if result else ")"
    line = f"{name}({', '.join(given)}{end}"
    return line if len(line) <= LINE_MAX else "\n".join((f"{name}(", *(f"    {each}," for each in given), end))


def _lines(lines: Iterable[str]) -> Iterator[str]:
    section = False
    blank = False
    for line in lines:
        if line == "::":
            continue
        if _SECTION.match(line):
            section = True
            yield f"**{line[:-1]}**\n"
        elif section and (entry := _ENTRY.match(line.removeprefix("    "))) and not line.startswith("      "):
            yield f"- `{entry[1]}`: {_inline(entry[2])}"
        elif section and line.startswith("    "):
            yield f"  {_inline(line.strip())}"
        elif term := _TERM.match(line):
            yield f"- {_inline(term[1])}: {term[2]}"
        elif line and not line.startswith("    "):
            section = False
            yield _inline(line)
        elif not line and not blank:
            yield ""
        blank = not line or (blank and not section and line.startswith("    "))


def _inline(text: str) -> str:
    return text.replace("``", "`")
