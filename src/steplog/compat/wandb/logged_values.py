"""What is kept of a value that is given to ``wandb.log``, or in the cell of a table."""

from __future__ import annotations

from contextlib import suppress
from types import ModuleType
from typing import Any

from steplog.compat.unsupported import unsupported
from steplog.compat.wandb.media import NOT_KEPT, WBValue

__all__ = ["logged"]

_FIGURES = ("matplotlib", "plotly", "bokeh", "PIL")  # whose objects wandb.log takes as they are
_ADVICE = "steplog has no such value; write it to a file, and save that: wandb.save(path)"


def logged(value: Any) -> Any:
    """What is kept of a value that is logged; ``NOT_KEPT``: nothing, which is counted."""
    if isinstance(value, WBValue):
        return value.kept()
    if isinstance(value, (list, tuple)) and any(isinstance(each, WBValue) or _library(each) for each in value):
        kept = [logged(each) for each in value]
        return (
            NOT_KEPT
            if all(each is NOT_KEPT for each in kept)
            else [None if each is NOT_KEPT else each for each in kept]
        )
    library = _library(value)
    return _picture(value, library) if library else value


def _library(value: Any) -> str:
    """Which of the libraries whose pictures are logged as they are it is from; "": none of them."""
    name = value.__name__ if isinstance(value, ModuleType) else type(value).__module__
    library = name.partition(".")[0]
    return library if library in _FIGURES else ""


def _picture(value: Any, library: str) -> Any:
    """A figure or a picture that was logged without a class of wandb's around it."""
    from steplog.compat.wandb.image import Image  # late: most programs log none
    from steplog.compat.wandb.media_files import Bokeh, Plotly

    kinds = {"plotly": Plotly, "bokeh": Bokeh}
    with suppress(Exception):  # of the library; a training does not fail by its picture
        return kinds.get(library, Image)(value).kept()
    unsupported.note(f"wandb.log() of a {type(value).__name__} of {library}", _ADVICE)
    return NOT_KEPT
