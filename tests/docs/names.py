"""The public names of steplog as a page: what is called how, and what its docstring says."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import is_dataclass
from enum import Enum

import steplog

GROUPS = {
    "Runs": ("init", "attach", "Run", "RunStatus", "Report", "Stats"),
    "The active run": ("log", "flush", "finish", "get_active_run", "set_active_run"),
    "Images, audio, videos, pages, tables, histograms": ("Image", "Audio", "Video", "Html", "Table", "Histogram"),
    "Files and artifacts": ("artifact", "artifacts", "Artifact", "RunFile"),
    "What waits here": ("journals", "sync", "clean", "read_journal", "WaitingRun", "Synced", "JournalRecord"),
    "Reading": ("runs", "open", "ReadOnlyRun", "ArrowTable"),
    "The server": (
        "login",
        "get_default_client",
        "TellurioClient",
        "get_project",
        "create_project",
        "delete_project",
        "Project",
        "RunOrg",
        "RunProject",
        "RunUser",
    ),
    "Exceptions": (
        "SteplogError",
        "ArtifactNotFoundError",
        "ConfigurationError",
        "FilterError",
        "FormatError",
        "ProjectNotFoundError",
        "InvalidAPIKeyError",
        "MetricNotFoundError",
        "RunExistsError",
        "RunFileNotFoundError",
        "RunFinishedError",
        "RunNotFoundError",
        "ServerUnavailableError",
    ),
}
PARTS = {"RunFiles"}  # bases whose members are those of the class
LINE_MAX = 100
_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$")
_ENTRY = re.compile(r"^([\w, ]+|requests\.HTTPError(?:, \w+)*): (.*)$")


def page() -> str:
    """The page's part that is made: a heading a group, a name with its signature and docstring each."""
    return "".join(f"\n## {title}\n{''.join(map(_named, names))}" for title, names in GROUPS.items()) + "\n"


def _named(name: str) -> str:
    made = getattr(steplog, name)
    parts = [f"\n### `{name}`\n"]
    internal = (made.__init__.__doc__ or "").startswith("Internal")  # it is what functions return
    if not (inspect.isclass(made) and (internal or issubclass(made, (BaseException, Enum)) or is_dataclass(made))):
        parts.append(f"\n```text\n{_signature(name, made)}\n```\n")
    parts.append(f"\n{_prose(made)}\n")
    if inspect.isclass(made) and issubclass(made, Enum):
        parts.append(f"\n{', '.join(f'`{member.value}`' for member in made)}\n")
    elif inspect.isclass(made) and not issubclass(made, BaseException):
        parts += [_member(made, each) for each in _members(made)]
    return "".join(parts)


def _members(made: type) -> list[str]:
    parts = [base for base in made.__bases__ if base.__name__ in PARTS]
    held = {name: held for each in (made, *parts) for name, held in vars(each).items()}
    own = [name for name, held in held.items() if not name.startswith("_") and (callable(held) or _is_seen(held))]
    return [name for name in own if (words := getattr(made, name).__doc__) and not words.startswith("Internal")]


def _is_seen(held: object) -> bool:
    return isinstance(held, property)


def _member(made: type, name: str) -> str:
    held = inspect.getattr_static(made, name)
    if isinstance(held, property):
        return f"\n**`{name}`**: {_prose(held)}\n"
    return f"\n```text\n{_signature(f'{made.__name__}.{name}', held)}\n```\n\n{_prose(held)}\n"


def _signature(name: str, made: object) -> str:
    signature = inspect.signature(made)  # type: ignore[arg-type]
    given = list(_parameters(signature))
    result = (
        "" if signature.return_annotation in (None, "None", inspect.Signature.empty) else signature.return_annotation
    )
    end = f") -> {result}" if result else ")"
    line = f"{name}({', '.join(given)}{end}"
    return line if len(line) <= LINE_MAX else "\n".join((f"{name}(", *(f"    {each}," for each in given), end))


def _parameters(signature: inspect.Signature) -> Iterator[str]:
    starred = False
    for each in signature.parameters.values():
        if each.name == "self":
            continue
        if each.kind is each.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        default = each.default.value if isinstance(each.default, Enum) else each.default
        yield f"{each.name}: {each.annotation}" + ("" if default in (each.empty, ...) else f" = {default!r}")


def _prose(made: object) -> str:
    return "\n".join(_lines(inspect.cleandoc(getattr(made, "__doc__", "") or "").splitlines()))


def _lines(lines: Iterable[str]) -> Iterator[str]:
    """A docstring as Markdown: its sections as lists, its code as code."""
    section = False
    for line in lines:
        if _SECTION.match(line):
            section = True
            yield f"*{line[:-1]}*\n"
        elif section and (entry := _ENTRY.match(line.removeprefix("    "))) and not line.startswith("      "):
            yield f"- `{entry[1]}`: {_inline(entry[2])}"
        else:
            section = section and (line.startswith("    ") or not line)
            yield f"  {_inline(line.strip())}" if section and line else _inline(line)


def _inline(text: str) -> str:
    return text.replace("``", "`")
