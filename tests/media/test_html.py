"""Pages: what is taken."""

from __future__ import annotations

import io

import pytest

import steplog
from media.keeping import Keeping
from steplog.media_value import LOGGED_BYTES_MAX, TooLargeToLogError

PAGE = "<h1>höher</h1>"


def test_a_page_is_a_text_a_path_or_a_file_object(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(PAGE, "utf-8")
    for given in (PAGE, PAGE.encode(), path, str(path), io.StringIO(PAGE), io.BytesIO(PAGE.encode())):
        keeping = Keeping()
        record = keeping.log(steplog.Html(given))
        assert record == {"_type": "html", "file": "0" * 32, "type": "text/html"}
        assert keeping.file(record) == PAGE.encode()


def test_a_text_that_only_ends_like_a_path_is_a_page():
    assert Keeping().logged_file(steplog.Html("<a>index.html")) == b"<a>index.html"


def test_a_page_that_is_not_there_and_what_is_none_raise(tmp_path):
    with pytest.raises(FileNotFoundError):
        steplog.Html(tmp_path / "none.html")
    for given in (None, 3, ["<b>"]):
        with pytest.raises(TypeError, match="page"):
            steplog.Html(given)


def test_a_page_of_more_than_a_call_takes_raises(tmp_path):
    (tmp_path / "page.html").write_bytes(b"x" * (LOGGED_BYTES_MAX + 1))
    for given in ("x" * (LOGGED_BYTES_MAX + 1), tmp_path / "page.html"):
        with pytest.raises(TooLargeToLogError, match=r"run\.save"):
            Keeping().log(steplog.Html(given))
