"""``folded(text)``, a function of PostgreSQL that does what ``str.casefold`` does: a server may be of any locale.

Letters of ASCII are its own ``lower``'s. Of other characters those that a text has, and that fold to something else, are
replaced one after the other: in most texts there are few or none.
"""

from __future__ import annotations

import json
from itertools import groupby

__all__ = ["FOLDED"]

_FOLDS = {
    character: character.casefold()
    for character in map(chr, range(0x80, 0x20000))  # no script beyond has capitals
    if character.casefold() != character
}


def _ranges() -> str:
    """The characters that fold, as a class of a regular expression."""
    runs = [list(run) for _, run in groupby(_FOLDS, key=lambda c, n=iter(range(len(_FOLDS))): ord(c) - next(n))]
    return "".join(f"{run[0]}-{run[-1]}" for run in runs)


# What a character folds to folds no further, so that the order does not matter.
FOLDED = f"""
CREATE OR REPLACE FUNCTION folded(words text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    one text;
BEGIN
    words := lower(words COLLATE "C");
    IF octet_length(words) > length(words) THEN
        FOR one IN SELECT DISTINCT found[1] FROM regexp_matches(words, '([{_ranges()}])', 'g') AS of_words (found) LOOP
            words := replace(words, one, '{json.dumps(_FOLDS, ensure_ascii=False)}'::jsonb ->> one);
        END LOOP;
    END IF;
    RETURN words;
END
$$;
"""
