"""The public names as the pages of ``docs/python/`` have them: how each is called, and what its docstring says.

A part is named after what it describes: ``steplog.Run`` (a class has its properties, and each of its methods is a part
of its own, ``steplog.Run.log``), ``steplog.testing.FakeClock``, ``steplog.integrations.keras``. The examples beside the
parts are written by hand, and run by ``test_examples.py``.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from typing import get_origin

import steplog
import steplog.testing
from docs import adapters, prose

PAGES = Path(__file__).parents[2] / "docs" / "python"
UNSEEN = ("Internal", "See Files")  # how the docstring of what has no entry begins
PARTS = {"RunFiles"}  # bases whose members are those of the class
_MADE = re.compile(r"^<!-- begin: (steplog\.[\w.]+) -->$", re.MULTILINE)
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)


@functools.cache
def public() -> list[str]:
    """Every name that has an entry: of ``steplog`` and ``steplog.testing``, and the methods of their classes."""
    found = []
    for module in (steplog, steplog.testing):
        for name in sorted(module.__all__):
            if name.startswith("_"):
                continue
            found.append(f"{module.__name__}.{name}")
            made = getattr(module, name)
            if _has_members(made):
                found += [f"{found[-1]}.{each}" for each in _members(made) if not _is_seen(_static(made, each))]
    return found


@functools.cache
def properties() -> dict[str, list[str]]:
    """The properties of each class that has any."""
    found = {}
    for name in public():
        made = _find(name)
        if not _is_method(name) and inspect.isclass(made) and _has_members(made):
            found[name] = [each for each in _members(made) if _is_seen(_static(made, each))]
    return found


def parts() -> dict[str, str]:
    """Each entry by its name: signature, prose, and the properties of a class."""
    return {name: _entry(name) for name in public()}


def described() -> dict[str, list[str]]:
    """The pages of names, in the order of the site's navigation, each with the names that it has."""
    pages = re.findall(r"\bpython/([\w-]+)\.md", (PAGES.parents[1] / "mkdocs.yml").read_text("utf-8"))
    return {page: _MADE.findall((PAGES / f"{page}.md").read_text("utf-8")) for page in pages}


def index() -> str:
    """The list of all public names, a heading a page, each with the first sentence of what is said of it."""
    lines = []
    for page, names in described().items():
        found = _TITLE.search((PAGES / f"{page}.md").read_text("utf-8"))
        assert found is not None, page
        lines.append(f"\n## [{found[1]}](python/{page}.md)\n")
        lines += [_line(page, name) for name in names if name in adapters.modules() or not _is_method(name)]
    return "\n".join((*lines, "\n"))


def _line(page: str, name: str) -> str:
    short = name.removeprefix(f"{steplog.testing.__name__}.").removeprefix("steplog.")
    docstring = adapters.docstring(name) if name in adapters.modules() else _find(name).__doc__
    said = prose.first_sentence(docstring)
    return f"- [`{short}`](python/{page}.md#{anchor(short)})" + (f": {said}" if said else "")


def anchor(heading: str) -> str:
    """The id of a heading that is a name, on the site as on GitHub."""
    return heading.lower().replace(".", "")


def _find(name: str) -> object:
    """What a dotted name means: a module, a name of one, or a member of that."""
    words = name.split(".")
    for end in range(len(words), 0, -1):
        try:
            found: object = importlib.import_module(".".join(words[:end]))
        except ModuleNotFoundError:
            continue
        for word in words[end:]:
            found = _static(found, word) if inspect.isclass(found) else getattr(found, word)
        return found
    raise KeyError(name)


def _owner(name: str) -> object:
    return _find(name.rpartition(".")[0])


def _is_method(name: str) -> bool:
    return inspect.isclass(_owner(name))


def _static(made: type, name: str) -> object:
    return inspect.getattr_static(made, name)


def _entry(name: str) -> str:
    made, owner = _find(name), _owner(name)
    short = name.removeprefix(f"{steplog.testing.__name__}.").removeprefix("steplog.")
    if get_origin(made) is not None:
        return f"\n```text\n{short} = {re.sub(r'[a-z_.]+[.](?=[A-Z])', '', str(made))}\n```\n\n"
    lines = [] if not _is_called(made) else [f"\n```text\n{_signature(short, made)}\n```\n"]
    lines.append(f"\n{_prose(made)}\n")
    if inspect.isclass(owner) or not inspect.isclass(made):
        return "".join((*lines, "\n"))
    if issubclass(made, Enum):
        lines.append(f"\n{', '.join(f'`{member.value}`' for member in made)}\n")
    elif _has_members(made):
        seen = properties()[name]
        if seen:
            lines.append("\n**Properties**\n\n")
            lines += [_property(each, _static(made, each)) for each in seen]
    return "".join((*lines, "\n"))


def _is_called(made: object) -> bool:
    """Whether users call it: not exceptions, enumerations, and what only functions return."""
    if not inspect.isclass(made):
        return True
    internal = (made.__init__.__doc__ or "").startswith("Internal")
    return not (internal or issubclass(made, (BaseException, Enum)) or is_dataclass(made))


def _has_members(made: object) -> bool:
    return inspect.isclass(made) and not issubclass(made, (BaseException, Enum))


def _members(made: type) -> list[str]:
    bases = [base for base in made.__bases__ if base.__name__ in PARTS]
    held = {name: held for each in (made, *bases) for name, held in vars(each).items()}
    own = [name for name, held in held.items() if not name.startswith("_") and (callable(held) or _is_seen(held))]
    return [name for name in own if (words := getattr(made, name).__doc__) and not words.startswith(UNSEEN)]


def _is_seen(held: object) -> bool:
    return isinstance(held, property)


def _property(name: str, held: object) -> str:
    first, *rest = _prose(held).splitlines()
    return "\n".join((f"- `{name}`: {first}", *(f"  {line}" if line else "" for line in rest), ""))


def _signature(name: str, made: object) -> str:
    signature = inspect.signature(made)  # type: ignore[arg-type]
    result = (
        "" if signature.return_annotation in (None, "None", inspect.Signature.empty) else signature.return_annotation
    )
    return prose.signature(name, list(_parameters(signature)), result)


def _parameters(signature: inspect.Signature) -> Iterator[str]:
    starred = False
    for each in signature.parameters.values():
        if each.name == "self":
            continue
        if each.kind is each.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        default = each.default.value if isinstance(each.default, Enum) else each.default
        shown = "…" if inspect.isfunction(default) else repr(default)
        yield f"{each.name}: {each.annotation}" + ("" if default in (each.empty, ...) else f" = {shown}")


def _prose(made: object) -> str:
    return prose.markdown(made.__doc__)
