"""What a proxy says counts if it is trusted, and what others have put into its mouth never does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steplog.server.proxies import FORWARDED, KINDS, LOOPBACK, X_FORWARDED, Proxies, contains, networks

TRUSTED = networks(["127.0.0.1", "10.0.0.0/8", "fd00::/8"])


def believed(kind: str, peer: str | None, *headers: tuple[str, str]) -> tuple[Any, str, str]:
    """The client, the scheme and the Host that a request has then."""
    scope: dict[str, Any] = {
        "client": None if peer is None else (peer, 4711),
        "scheme": "http",
        "headers": [(b"host", b"10.0.0.9:8787"), *((name.lower().encode(), text.encode()) for name, text in headers)],
    }
    Proxies(TRUSTED, kind).believe(scope)
    hosts = [value.decode() for name, value in scope["headers"] if name == b"host"]
    assert len(hosts) == 1
    return None if scope["client"] is None else scope["client"][0], scope["scheme"], hosts[0]


UNCHANGED = "http", "10.0.0.9:8787"


@pytest.mark.parametrize(
    ("peer", "clients", "client"),
    [
        ("127.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", ["203.0.113.9, 10.0.0.5"], "203.0.113.9"),
        ("127.0.0.1", ["203.0.113.9", "10.0.0.5"], "203.0.113.9"),  # HAProxy adds a header of its own
        ("127.0.0.1", ["127.0.0.1, 203.0.113.9, 10.0.0.5"], "203.0.113.9"),  # the first one, the client has written
        ("127.0.0.1", ["10.1.1.1, 10.0.0.5"], "10.1.1.1"),  # a client among the proxies
        ("127.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("127.0.0.1", ["[2001:db8::7]:123"], "2001:db8::7"),
        ("127.0.0.1", ["203.0.113.9:123"], "203.0.113.9"),
        ("127.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("::ffff:127.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        (None, ["203.0.113.9"], "203.0.113.9"),  # a Unix socket
        ("127.0.0.1", ["nonsense"], "unknown"),
        ("127.0.0.1", ["127.0.0.1, nonsense, 10.0.0.5"], "unknown"),
        ("127.0.0.1", [""], "unknown"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("203.0.113.1", ["127.0.0.1"], "203.0.113.1"),  # no proxy of ours
    ],
)
def test_the_client_is_the_last_that_is_no_proxy(peer, clients, client):
    assert believed(X_FORWARDED, peer, *(("X-Forwarded-For", text) for text in clients)) == (client, *UNCHANGED)


@pytest.mark.parametrize(
    ("peer", "value", "expected"),
    [
        ("127.0.0.1", "for=203.0.113.9;proto=https;host=a.example", ("203.0.113.9", "https", "a.example")),
        ("127.0.0.1", 'For="[2001:db8::7]:99" ; Proto=HTTPS', ("2001:db8::7", "https", UNCHANGED[1])),
        (
            "127.0.0.1",
            "for=127.0.0.1;proto=http;host=evil, for=203.0.113.9;proto=https;host=a.example, for=10.0.0.5;proto=http",
            ("203.0.113.9", "https", "a.example"),
        ),
        ("127.0.0.1", 'for=_hidden;proto=https;host="a.example:444"', ("unknown", "https", "a.example:444")),
        ("127.0.0.1", "for=203.0.113.9; broken", ("unknown", *UNCHANGED)),
        ("127.0.0.1", 'for="203.0.113.9', ("unknown", *UNCHANGED)),
        ("127.0.0.1", "", ("unknown", *UNCHANGED)),
        ("203.0.113.1", "for=127.0.0.1;proto=https", ("203.0.113.1", *UNCHANGED)),
    ],
)
def test_forwarded_is_read_as_the_rfc_has_it(peer, value, expected):
    assert believed(FORWARDED, peer, ("Forwarded", value)) == expected


def test_the_kind_that_was_not_asked_for_says_nothing():
    """A proxy that writes one passes on the other as its client has sent it."""
    both = (("Forwarded", "for=198.51.100.1;host=evil"), ("X-Forwarded-For", "203.0.113.9"))
    assert believed(X_FORWARDED, "127.0.0.1", *both) == ("203.0.113.9", *UNCHANGED)
    assert believed(FORWARDED, "127.0.0.1", *both) == ("198.51.100.1", "http", "evil")


@pytest.mark.parametrize(
    ("schemes", "scheme"),
    [("https", "https"), ("HTTPS", "https"), ("https, http", "https"), ("ftp", "http"), ("", "http")],
)
def test_the_scheme_is_the_one_that_the_client_used(schemes, scheme):
    told = ("X-Forwarded-For", "203.0.113.9, 10.0.0.5"), ("X-Forwarded-Proto", schemes)
    assert believed(X_FORWARDED, "127.0.0.1", *told) == ("203.0.113.9", scheme, UNCHANGED[1])


@pytest.mark.parametrize("host", ["a b", "a/b", "", "a\r\nb", "ü", "x" * 263, "<a>"])
def test_a_host_that_is_none_changes_nothing(host):
    assert believed(X_FORWARDED, "127.0.0.1", ("X-Forwarded-Host", host)) == ("127.0.0.1", *UNCHANGED)


@given(
    st.sampled_from(KINDS),
    st.lists(st.tuples(st.sampled_from(["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto"]), st.text(max_size=60))),
)
def test_no_header_raises_or_makes_a_client_one_of_this_machine(kind, headers):
    """Each is followed by what the trusted proxy itself has written."""
    true = ("Forwarded", "for=203.0.113.9") if kind == FORWARDED else ("X-Forwarded-For", "203.0.113.9")
    client, scheme, _ = believed(kind, "127.0.0.1", *headers, true)
    assert client in ("203.0.113.9", "unknown")
    assert not contains(LOOPBACK, client)
    assert scheme in ("http", "https")


def test_networks_are_told_apart():
    assert contains(TRUSTED, "10.255.0.1")
    assert contains(TRUSTED, "fd00::1%eth0")
    assert not contains(TRUSTED, "11.0.0.1")
    assert contains(LOOPBACK, "local")
    assert not contains(networks(["10.0.0.0/8"]), "local")
    with pytest.raises(ValueError, match="host bits set"):
        networks(["10.0.0.1/8"])
