"""``wandb.sdk.lib.printer``: lines for the user, as ``wandb.termlog`` prints them."""

from __future__ import annotations

from steplog.compat.wandb.term import termerror, termlog, termwarn

__all__ = ["Printer", "new_printer"]


class Printer:
    """Prints lines; a text in them is as it is."""

    def display(self, text: str | list[str] | tuple[str, ...], *, level: object = None) -> None:
        """Print a line, or several."""
        lines = [text] if isinstance(text, str) else text
        said = str(getattr(level, "name", level)).lower()
        say = termerror if said == "error" else termwarn if said in ("warn", "warning") else termlog
        for line in lines:
            say(line)

    def link(self, link: str, text: str = "") -> str:
        """An address."""
        return link

    def _as_it_is(self, text: str) -> str:
        return text

    code = name = files = secondary_text = _as_it_is

    def emoji(self, name: str) -> str:
        """Nothing."""
        return ""


def new_printer(settings: object = None) -> Printer:
    """One."""
    return Printer()
