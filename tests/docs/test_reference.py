"""What the docs list of settings, commands and names is what there is."""

from __future__ import annotations

import pytest

import steplog
from docs.names import GROUPS
from docs.reference import PAGES, rewritten, tables


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_of_settings_and_commands_are_those_of_the_code(page):
    text = page.read_text("utf-8")
    assert rewritten(text) == text, "run: python tests/docs/reference.py"


def test_every_table_is_on_a_page():
    text = "".join(page.read_text("utf-8") for page in PAGES)
    assert [name for name in tables() if f"<!-- begin: {name} -->" not in text] == []


def test_a_table_that_was_changed_by_hand_is_found():
    text = f"<!-- begin: settings -->\n{tables()['settings'].replace('60.0', '30.0')}<!-- end -->\n"
    assert rewritten(text) != text


def test_every_public_name_is_on_the_page_of_names():
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(steplog.__all__)
