"""What steplog says: the templates of its messages, read from its source.

A template is the text of a message with ``…`` for what is put in. ``said`` are the warnings and errors that a program's
log gets to see and what is printed about a run, all of which the page on messages has to explain; ``written`` is any
text of the source, in which a message that the page explains has to be.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).parents[2] / "src" / "steplog"
_LOGGERS = {"_log", "deferred_log"}
_LEVELS = {"warning", "error"}
_SAYING = {"say", "say_once"}
_HOLE = re.compile(r"%(?:[.\d]*[sdrgf])")


def said() -> dict[str, str]:
    """The template of each warning and error and of each line about a run, and where it is said."""
    found = {}
    for file, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (text := _text_of(node)):
                found[text] = f"{file.relative_to(SRC)}:{node.lineno}"
    return found


def written() -> str:
    """Every text of the source as a template, one after the other."""
    return "\n".join(text for _, tree in _trees() for node in ast.walk(tree) if (text := template(node)))


def template(node: ast.AST) -> str | None:
    """A text as the reader of a message knows it: ``…`` for what is put in, without backticks; None for no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return plain(_HOLE.sub("…", node.value))
    if isinstance(node, ast.JoinedStr):
        parts = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values]
        return plain("".join(parts))
    return None


def plain(text: str) -> str:
    """As messages are compared."""
    return re.sub("…+", "…", " ".join(text.replace("`", "").removeprefix("steplog: ").split()))


def _text_of(call: ast.Call) -> str | None:
    """The template of what a call says: the text of a logger's, or the first text that one of ``_SAYING`` is given."""
    called = call.func
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        if called.value.id in _LOGGERS and called.attr in _LEVELS:
            return template(call.args[0])
        if (called.value.id, called.attr) != ("messages", "say"):
            return None
    elif not (isinstance(called, ast.Name) and called.id in _SAYING):
        return None
    return next(filter(None, map(template, call.args)), None)


def _trees() -> Iterator[tuple[Path, ast.Module]]:
    for file in sorted(SRC.rglob("*.py")):
        yield file, ast.parse(file.read_text("utf-8"))
