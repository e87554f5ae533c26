"""Which runs of this host a text means: for ``sync``, ``clean`` and ``read_journal``."""

from __future__ import annotations

from collections.abc import Iterable

from steplog.journal.directories import RunPaths
from steplog.journal.manifest import Manifest
from steplog.naming import choose_kept

__all__ = ["called"]


def called(text: str, runs: Iterable[tuple[RunPaths, Manifest | None]]) -> list[RunPaths]:
    """Those called ``text``, or the one whose id begins so (``naming``). Raises ValueError for none and for several."""
    chosen = choose_kept(text, runs, lambda run: _names(*run))
    if not chosen:
        raise ValueError(f"no run on this machine is called {text!r}; type: steplog ls --here")
    return [paths for paths, _ in chosen]


def _names(paths: RunPaths, manifest: Manifest | None) -> tuple[str, str, str, str]:
    if manifest is None:
        return paths.local_id, "", "", ""
    return paths.local_id, manifest.run, manifest.name, manifest.key
