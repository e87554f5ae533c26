"""Names of files for runs, which may be called anything. Pure.

A name keeps its letters, digits, blanks and ``._+=@-``; each other character is ``_``, and so is what a hidden file or
an option begins with. It has at most ``STEM_BYTES_MAX`` bytes. Where several runs would have one name, in whatever
case, each has its id behind it, and so has a run that is called as the folder of contents or a listing is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable

__all__ = ["STEM_BYTES_MAX", "stem_of", "stems_of"]

STEM_BYTES_MAX = (
    100  # with an id of 128, what marks a scratch file and an ending: less than the 255 that a name may have
)
_OTHER = re.compile(r"[^\w .+=@-]")


def stem_of(name: str) -> str:
    """The name of the file of a run of this name, without an ending; "" if nothing is left of it."""
    stem = _OTHER.sub("_", name)
    stem = stem.encode("utf-8", "replace")[:STEM_BYTES_MAX].decode("utf-8", "ignore").rstrip(" .")
    return re.sub(r"^[.\-\s]", "_", stem)


def stems_of(runs: Iterable[tuple[str, str]], taken: Collection[str] = ()) -> dict[str, str]:
    """A stem for each of these runs (id, name), by id; ``taken``: stems of other runs."""
    stems = {run: stem_of(name) for run, name in runs}
    count = Counter(stem.casefold() for stem in [*stems.values(), *taken])
    return {
        run: stem if stem and count[stem.casefold()] == 1 and not _is_ours(stem) else f"{stem}-{run}" if stem else run
        for run, stem in stems.items()
    }


def _is_ours(stem: str) -> bool:
    """Whether the folder of contents is called so, or a listing."""
    return stem.casefold() == "files" or stem.casefold().endswith(".files")
