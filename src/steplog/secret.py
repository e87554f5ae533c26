"""``Secret``: the API key, from where it is read to the header that carries it.

Crash reporters send the variables of a traceback's frames (``capture_locals=True``, rich, Sentry). So a key becomes a
``Secret`` where it is read, and its text is in no variable of a frame that an exception may leave.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from json import dumps
from typing import NoReturn
from urllib.parse import quote

from steplog.living import Living

__all__ = ["Quiet", "Secret", "scrubbed"]

_SECRET_CHARACTERS_MIN = 4  # a shorter one would take words apart
_VARIABLES = ("STEPLOG_API_KEY", "TELLURIO_API_KEY", "STEPLOG_SERVE_API_KEY")
_known: Living[Secret] = Living()


class Secret:
    """A text that no ``repr`` and no pickle shows."""

    __slots__ = ("__weakref__", "_spelled", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._spelled: tuple[str, ...] = ()  # by ``hidden_in``
        _known.add(self)

    def reveal(self) -> str:
        """The text. Keep it in no variable, which a traceback may show."""
        return self._text

    def hidden_in(self, text: str, characters_min: int = _SECRET_CHARACTERS_MIN) -> str:
        """``text`` with "***" for this secret, also as ``repr``, JSON and URLs spell it. A shorter secret stays."""
        for spelled in self.spellings(characters_min):
            text = text.replace(spelled, "***")
        return text

    def spellings(self, characters_min: int = _SECRET_CHARACTERS_MIN) -> tuple[str, ...]:
        """The secret, and how ``repr``, JSON and URLs spell it; of a shorter one nothing. Keep them in no variable."""
        if len(self._text) < characters_min:
            return ()
        if not self._spelled:
            quoted = (repr(self._text)[1:-1], dumps(self._text)[1:-1], quote(self._text), quote(self._text, safe=""))
            self._spelled = tuple(dict.fromkeys((self._text, *quoted)))
        return self._spelled

    def __repr__(self) -> str:
        return "Secret(...)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("an API key is not pickled; each process takes it from its own environment or key file")


class Quiet(Mapping[str, str]):
    """An environment whose ``repr`` shows no key."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def __getitem__(self, name: str) -> str:
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def __repr__(self) -> str:
        return "<environment>"


def scrubbed(text: str, environ: Mapping[str, str]) -> str:
    """``text`` without the keys of this process and of ``environ``."""
    secrets = [*_known, *(Secret(environ.get(name, "")) for name in _VARIABLES)]
    for secret in sorted(secrets, key=lambda one: -len(one.reveal())):
        text = secret.hidden_in(text)
    return text
