"""What ``init`` refuses before anything is begun."""

from __future__ import annotations

import pytest

import steplog


@pytest.mark.parametrize("key", ["", "a b", "a/b", "ä", "x" * 129, 7, ["a"]], ids=repr)
def test_an_id_that_is_none_is_refused_in_words_that_say_what_is_allowed(key):
    with pytest.raises(ValueError, match=r"is not of 1 to 128 letters, digits, '\.', '_' and '-'"):
        steplog.init(project="p", mode="disabled", id=key)


@pytest.mark.parametrize("resume", ["", "auto", True, "Allow"], ids=repr)
def test_a_resume_that_is_none_is_refused_in_words_that_say_what_is_allowed(resume):
    with pytest.raises(ValueError, match='resume is "never", "allow" or "must", not'):
        steplog.init(project="p", mode="disabled", id="a", resume=resume)


@pytest.mark.parametrize("resume", ["allow", "must"])
def test_a_run_to_be_resumed_needs_an_id_or_a_name(resume):
    with pytest.raises(ValueError, match=f'resume="{resume}" needs the id of a run, or its name'):
        steplog.init(project="p", mode="disabled", resume=resume)
    steplog.init(project="p", mode="disabled", name="a", resume=resume).finish()
