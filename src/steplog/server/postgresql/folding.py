"""``folded(text)``, a function of PostgreSQL that does what ``str.casefold`` does: a server may be of any locale.

Letters of ASCII are its own ``lower``'s. Of other characters those that a text has, and that fold to something else,
are replaced one after the other: in most texts there are few or none.
"""

# ruff: noqa: S608 - a constant

from __future__ import annotations

import json

__all__ = ["FOLDED"]

_FOLDS = {
    character: character.casefold()
    for character in map(chr, range(0x80, 0x20000))  # no script beyond has capitals
    if character.casefold() != character
}


def _class() -> str:
    """Of a regular expression: the characters that fold."""
    ranges: list[list[int]] = []
    for number in map(ord, _FOLDS):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


# What a character folds to folds no further, so that the order does not matter.
FOLDED = f"""
CREATE OR REPLACE FUNCTION folded(words text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    one text;
BEGIN
    words := lower(words COLLATE "C");
    IF octet_length(words) > length(words) THEN
        FOR one IN SELECT DISTINCT part[1] FROM regexp_matches(words, '([{_class()}])', 'g') AS parts (part) LOOP
            words := replace(words, one, '{json.dumps(_FOLDS, ensure_ascii=False)}'::jsonb ->> one);
        END LOOP;
    END IF;
    RETURN words;
END
$$;
"""
