"""Each message that a user can see is explained, and what is explained is said."""

from __future__ import annotations

import re

from docs.examples import ROOT
from docs.messages import plain, said, written

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
EXPLAINED = [plain(message) for message in re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)]
NAMELESS = {"…", "run … …", "run …: …"}  # what is put in says it


def test_each_warning_each_error_and_each_line_about_a_run_is_explained():
    missing = {text: paths for text, paths in said().items() if text not in {*EXPLAINED, *NAMELESS}}
    assert not missing, "explain in docs/troubleshooting.md (… for what is put in), or take out what is not said:\n" + (
        "\n".join(f"{paths}: {text}" for text, paths in missing.items())
    )


def test_each_message_that_is_explained_is_said():
    source = written()
    assert len(EXPLAINED) > 30
    assert [message for message in EXPLAINED if message.strip("…") not in source] == []
