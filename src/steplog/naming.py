"""Which run a text means. Pure.

A text is a run's uuid, id or name, the name as it is in addresses, or the beginning of one of these; with
``[NAMESPACE/]PROJECT/`` before it or not; or the address of its page. A name may have "/" in it, so a text with "/" is
read each way::

    a/b/c     the run "a/b/c"; the run "b/c" in the project a; the run "c" in the project b of the namespace a

The first of these that some run has decides:

1. uuid, in any case
2. id
3. name
4. the name as it is in addresses
5. the beginning of a uuid, id or name, of ``BEGINNING_MIN`` characters at least
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from steplog.identity import slug_of

__all__ = [
    "BEGINNING_MIN",
    "CLOSE_MAX",
    "LISTED_MAX",
    "Choice",
    "Named",
    "Reading",
    "choose",
    "choose_kept",
    "close",
    "close_runs",
    "did_you_mean",
    "is_begun_as",
    "listed",
    "readings",
    "short_id",
]

BEGINNING_MIN = 4
CLOSE_MAX = 3
LISTED_MAX = 5
_SHORT = 8  # characters of a uuid
_LOCAL_ID = re.compile(r"[0-9a-f]{8,32}")
_COMPARED_MAX = 2000  # the last so many names, which takes some 50 ms

T = TypeVar("T")


class Named(NamedTuple):
    """What a run is called, and where it is. "" where that is not known."""

    uuid: str
    name: str
    id: str = ""
    namespace: str = ""
    project: str = ""


class Reading(NamedTuple):
    """One way to read a text. None: any namespace, any project."""

    namespace: str | None
    project: str | None
    run: str


@dataclass(frozen=True)
class Choice(Generic[T]):  # not a NamedTuple, which cannot be generic before Python 3.11
    """The runs that a text means: none, the one, or several between which it does not decide.

    Attributes:
        by_beginning: they were found by how they begin, which the next run may change.
    """

    runs: tuple[T, ...]
    by_beginning: bool = False


def readings(text: str) -> list[Reading]:
    """The ways to read a text, the whole as a name first; empty for one that can name no run."""
    parts = [unquote(part) for part in urlsplit(text).path.split("/") if part] if "://" in text else []
    if len(parts) == 5 and parts[1::2] == ["projects", "runs"]:
        return [Reading(*parts[::2])]
    found = [Reading(None, None, text)]
    project, slash, run = text.partition("/")
    if slash and project:
        found.append(Reading(None, project, run))
        namespace, (project, slash, run) = project, run.partition("/")
        if slash and project:
            found.append(Reading(namespace, project, run))
    return [reading for reading in found if reading.run]


def choose(text: str, runs: Iterable[T], named: Callable[[T], Named]) -> Choice[T]:
    """The runs that ``text`` means, in their order; a uuid that comes twice is one run."""
    read = readings(text)
    fitting = [(names, run, said) for run in runs for names in (named(run),) if (said := _said(read, names))]
    for way in _WAYS:
        found: dict[object, T] = {}
        for names, run, texts in fitting:
            if any(way(names, said) for said in texts):
                found.setdefault(names.uuid or id(run), run)
        if found:
            return Choice(tuple(found.values()), way is _begins)
    return Choice(())


def choose_kept(text: str, runs: Iterable[T], names: Callable[[T], tuple[str, str, str, str]]) -> list[T]:
    """The runs of this machine that a text means; ``names`` gives local id, uuid, name and chosen id, or "".

    All that are called so; else the one whose local id, uuid or chosen id begins so. Raises ValueError if several do.
    """
    called = [(run, names(run)) for run in runs]
    exact = [run for run, each in called if text and text in each]
    if exact or len(text) < BEGINNING_MIN:
        return exact
    begun = [(run, each[1] or each[0]) for run, each in called if _begins_id(text, *each)]
    uuids = list(dict.fromkeys(uuid for _, uuid in begun))
    if len(uuids) > 1:
        words = f"{text!r} is the beginning of {len(uuids)} runs on this machine"
        raise ValueError(f"{words}: {', '.join(uuids[-LISTED_MAX:])}")
    return [run for run, _ in begun]


def _begins_id(text: str, local_id: str, uuid: str, _name: str, chosen: str) -> bool:
    return local_id.startswith(text.lower()) or uuid.startswith(text.lower()) or chosen.startswith(text)


def short_id(uuid: str, chosen: str = "", characters_max: int = 0) -> str:
    """What to type for a run: the id that was chosen for it, if so short, else the beginning of its uuid."""
    return chosen if chosen and len(chosen) <= characters_max else uuid[:_SHORT]


def listed(runs: Iterable[Named]) -> str:
    """Candidates for a message: of more than ``LISTED_MAX`` the last, and how many more there are."""
    every = list(runs)
    words = [f"{'/'.join(filter(None, run[3:]))}/{run.name} ({run.uuid})".lstrip("/") for run in every]
    more = len(every) - LISTED_MAX
    return ", ".join(words[-LISTED_MAX:]) + (f" and {more} more" if more > 0 else "")


def is_begun_as(text: str, local_id: str) -> bool:
    """Whether a text is the id that a run had on its machine until a server had it, or eight characters of that."""
    begins = _LOCAL_ID.fullmatch(text) is not None and local_id.startswith(text)
    return begins or (bool(text) and text == local_id)


def close(text: str, names: Iterable[str]) -> list[str]:
    """The names that are most like a text, ``CLOSE_MAX`` at most, the closest first; case does not count."""
    from difflib import get_close_matches  # for an error alone

    by_folded = {name.casefold(): name for name in names if name}
    last = list(by_folded)[-_COMPARED_MAX:]
    return [by_folded[found] for found in get_close_matches(text.casefold(), last, CLOSE_MAX)]


def close_runs(text: str, runs: Iterable[Named]) -> list[str]:
    """What to type for the runs whose id or name is most like that in a text, with as much of their place as it has."""
    called: dict[str, list[Named]] = {}
    for run in runs:
        for name in {run.id, run.name} - {""}:
            called.setdefault(name, []).append(run)
    found: dict[str, str] = {}
    for reading in reversed(readings(text)):
        parts = sum(part is not None for part in reading[:2])
        for name in close(reading.run, called):
            for run in called[name]:
                place = [part for part in (run.namespace, run.project) if part]
                found.setdefault(run.uuid, "/".join((*place[len(place) - min(parts, len(place)) :], name)))
    return list(dict.fromkeys(found.values()))[:CLOSE_MAX]


def did_you_mean(names: Iterable[str]) -> str:
    """The end of a message: ``; did you mean 'a' or 'b'?``, or nothing."""
    quoted = [repr(name) for name in names]
    return f"; did you mean {' or '.join(filter(None, (', '.join(quoted[:-1]), quoted[-1])))}?" if quoted else ""


def _said(read: list[Reading], names: Named) -> list[str]:
    """What a text calls a run, in the readings that may mean its place."""
    return [
        reading.run
        for reading in read
        if _is_at(reading.namespace, names.namespace) and _is_at(reading.project, names.project)
    ]


def _is_at(wanted: str | None, slug: str) -> bool:
    return wanted is None or wanted == slug or (bool(slug) and slug_of(wanted) == slug)


def _is_uuid(names: Named, said: str) -> bool:
    return said.lower() == names.uuid.lower()


def _is_id(names: Named, said: str) -> bool:
    return said == names.id


def _is_name(names: Named, said: str) -> bool:
    return said == names.name


def _is_slug(names: Named, said: str) -> bool:
    return said == slug_of(names.name)


def _begins(names: Named, said: str) -> bool:
    if len(said) < BEGINNING_MIN:
        return False
    return names.uuid.lower().startswith(said.lower()) or names.id.startswith(said) or names.name.startswith(said)


_WAYS = (_is_uuid, _is_id, _is_name, _is_slug, _begins)
