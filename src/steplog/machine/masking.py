"""Secrets in text, masked: what a command line may hold that nobody else is to read. Pure.

Masked as ``***`` are

* the value of an option, variable or key whose name is one of a secret: ``--api-key X``, ``--token=X``,
  ``PASSWORD=X``, ``{"secret": "X"}``, ``?token=X``;
* user and password of an address: ``https://***@host``;
* what has a known form: tokens of GitHub, GitLab, Hugging Face, OpenAI, AWS, Google, Slack, npm, PyPI, JWTs, private
  keys in PEM, and keys of a steplog server, wherever they are.

A name is taken apart into words (``hfToken``, ``HF_TOKEN`` and ``--hf-token`` are the same): ``--max-tokens`` and
``--pad-token`` are no secrets. In doubt a value is masked.

Patterns are compiled (and cached by ``re``) when they are first used: not while ``init`` imports this.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

__all__ = ["COMMAND_CHARACTERS_MAX", "MASK", "command_line", "masked"]

MASK = "***"
COMMAND_CHARACTERS_MAX = 4096
_READ_CHARACTERS_MAX = 4 * COMMAND_CHARACTERS_MAX

_FORMS = (
    r"gh[oprsu]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|hf_\w{16,}|sk-[\w-]{16,}|[rs]k_(?:live|test)_\w{16,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[\w-]{30,}|ya29\.[\w-]{16,}|xox[a-z]-[\w-]{10,}|npm_\w{30,}|pypi-[\w-]{30,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.?[\w-]*"  # a JWT
    r"|(?<![\w-])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*\d)[A-Za-z0-9_-]{43}(?![\w-])"  # a key of a steplog server
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?"
)
_ADDRESS = r"(?<=://)[^\s/?#'\"@]*(?:@[^\s/?#'\"@]*)*@"
_SCHEME = r"\b([Bb]earer|[Bb]asic|[Aa]pi-[Kk]ey)(\s+)[^\s'\",;]+"
_NAME = r"([\w.-]+)(['\"]?\s{0,4}[=:]\s{0,4})?"  # and what is between it and its value
_VALUE = r"'[^']*'?|\"[^\"]*\"?|[^\s'\",;&]+"
_OPTION = r"--?([A-Za-z][\w.-]*)"
_WORDS = r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+"
_PLAIN = r"[\w@%+=:,./*-]+"

_ANYWHERE = frozenset(("secret", "secrets", "password", "passwd", "passphrase", "pwd", "pass", "credential", "apikey"))
_ANYWHERE_PAIRS = frozenset((("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key")))
_LAST = frozenset(("token", "auth", "authorization", "key", "keys", "bearer", "credentials", "cookie"))
_NO_SECRETS = frozenset(  # before "token" or "key": of a vocabulary, of a table
    ("pad", "eos", "bos", "unk", "sep", "cls", "mask", "stop", "special", "image", "per", "decoder", "sort", "primary")
).union(("foreign", "group", "label", "text", "target", "input", "output", "column", "dict", "cache", "metric"))


def masked(text: str) -> str:
    """``text`` without the secrets in it."""
    text = re.sub(_ADDRESS, f"{MASK}@", re.sub(_FORMS, MASK, text))
    text = re.sub(_SCHEME, rf"\1\2{MASK}", text)
    return _without_values(text)


def command_line(arguments: Sequence[str]) -> str:
    """The arguments as one would type them in a shell, without secrets, and cut."""
    parts, length, hide = [], 0, False
    for argument in arguments:
        option = re.fullmatch(_OPTION, argument)
        if hide and not argument.startswith("--"):
            shown, hide = MASK, False
        else:
            shown = masked(argument[: max(0, _READ_CHARACTERS_MAX - length)])
            hide = option is not None and _is_secret(option[1])
        length += len(argument) + 1
        parts.append(shown if re.fullmatch(_PLAIN, shown) else "'" + shown.replace("'", "'\"'\"'") + "'")
        if length > _READ_CHARACTERS_MAX:
            break
    text = " ".join(parts)
    return text if len(text) <= COMMAND_CHARACTERS_MAX else text[: COMMAND_CHARACTERS_MAX - 1] + "…"


def _without_values(text: str) -> str:
    """Without those whose names are of secrets."""
    parts, at, values = [], 0, re.compile(_VALUE)
    for found in re.finditer(_NAME, text):
        if found[2] is None or found.start() < at or not _is_secret(found[1]):
            continue
        if (value := values.match(text, found.end())) is not None:
            quote = value[0][0] if value[0][0] in "'\"" else ""
            parts += [text[at : found.end()], quote, MASK, quote]
            at = value.end()
    return "".join(parts) + text[at:]


def _is_secret(name: str) -> bool:
    words = [word.lower() for word in re.findall(_WORDS, name)]
    if _ANYWHERE.intersection(words) or _ANYWHERE_PAIRS.intersection(pairwise(words)):
        return True
    while words and words[-1].isdigit():
        words.pop()
    return bool(words) and words[-1] in _LAST and not _NO_SECRETS.intersection(words[-2:-1])
