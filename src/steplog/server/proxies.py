"""What a proxy in front of the server says of a request: who asked, by which scheme, for which host. Pure.

::

    X-Forwarded-For: <client>, <proxy>, …     each proxy appends whom it was asked by
    X-Forwarded-Proto: https                  one, or one a proxy in the same order
    X-Forwarded-Host: steplog.example.org

    Forwarded: for=<client>;proto=https;host=steplog.example.org, for=<proxy>

1. Only what comes from a trusted proxy counts, and of the two kinds of headers only the one that was asked for: a proxy
   passes on the other as the client has sent it.
2. The client is the last address of the list that is no trusted proxy's: what is before it, anybody may have written.
3. What cannot be read makes the client ``unknown``, who is in no network.
4. Who connects by a Unix socket is a trusted proxy: the socket's mode says who can.

https://www.rfc-editor.org/rfc/rfc7239
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple

__all__ = [
    "BY_PROXY",
    "FORWARDED",
    "KINDS",
    "LOCAL",
    "LOOPBACK",
    "X_FORWARDED",
    "Networks",
    "Proxies",
    "contains",
    "networks",
]

Networks = tuple[IPv4Network | IPv6Network, ...]

BY_PROXY = "by_proxy"  # in a scope's state: whether a trusted proxy has sent the request
X_FORWARDED = "x-forwarded"
FORWARDED = "forwarded"
KINDS = (X_FORWARDED, FORWARDED)
LOCAL = "local"  # who connects by a Unix socket
_UNKNOWN = "unknown"
_SCHEMES = ("http", "https")
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,262}")
_PORT = re.compile(r":[0-9]{1,5}\Z")
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's
_PAIR = re.compile(rf'[ \t]*({_TOKEN})=(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))[ \t]*([;,]|\Z)')


def networks(texts: Iterable[str]) -> Networks:
    """Networks, or single addresses. Raises ValueError."""
    return tuple(ip_network(text) for text in texts)


LOOPBACK = networks(["127.0.0.0/8", "::1"])


def contains(known: Networks, client: str) -> bool:
    """Whether a client is in one of these networks; one of a Unix socket is where loopback is."""
    if client == LOCAL:
        return any(network in LOOPBACK for network in known)
    address = _address(client)
    return address is not None and any(address in network for network in known)


class _Told(NamedTuple):
    """What one kind of headers says; lists from the client on."""

    clients: list[str]
    schemes: list[str]
    hosts: list[str]


class Proxies:
    """The proxies that are trusted, and the headers that they write.

    Attributes:
        client_header: the one that has the client.
    """

    def __init__(self, trusted: Networks, kind: str = X_FORWARDED) -> None:
        """``kind``: one of ``KINDS``."""
        self.trusted = trusted
        self.client_header = "x-forwarded-for" if kind == X_FORWARDED else "forwarded"
        self._told = _x_forwarded if kind == X_FORWARDED else _forwarded

    def trusts(self, client: str) -> bool:
        """Whether this is a trusted proxy, or connects by a Unix socket."""
        return client == LOCAL or contains(self.trusted, client)

    def believe(self, scope: Any) -> bool:
        """Set the client, the scheme and the Host of a request, if a trusted proxy has sent it, and whether it has."""
        client = scope["client"]
        if client is not None and not self.trusts(client[0]):
            return False
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            if b"forwarded" in name:
                key = name.decode("latin-1")
                headers[key] = (
                    f"{headers[key]},{value.decode('latin-1')}" if key in headers else value.decode("latin-1")
                )
        if headers:
            self._apply(scope, self._told(headers))
        return True

    def _apply(self, scope: Any, told: _Told) -> None:
        depth = 1
        if told.clients:
            found, depth = self._client(told.clients)
            scope["client"] = (found, 0)
        scheme = _at(told.schemes, depth).lower()
        if scheme in _SCHEMES:
            scope["scheme"] = scheme
        host = _at(told.hosts, depth)
        if _HOST.fullmatch(host):
            others = [pair for pair in scope["headers"] if pair[0] != b"host"]
            scope["headers"] = [(b"host", host.encode()), *others]

    def _client(self, clients: Sequence[str]) -> tuple[str, int]:
        """Who asked, and how far from the end of the list that is."""
        found = _UNKNOWN
        for depth, text in enumerate(reversed(clients), 1):
            address = _address(text)
            if address is None:
                return _UNKNOWN, depth
            found = str(address)
            if not contains(self.trusted, found):
                return found, depth
        return found, len(clients)


def _at(values: Sequence[str], depth: int) -> str:
    """What the proxy has written that was asked by the client: a list may be shorter than that of the clients."""
    return values[-depth] if depth <= len(values) else values[0] if values else ""


def _x_forwarded(headers: Mapping[str, str]) -> _Told:
    def listed(name: str) -> list[str]:
        found = headers.get(f"x-forwarded-{name}")
        return [] if found is None else [each.strip() for each in found.split(",")]

    return _Told(listed("for"), listed("proto"), listed("host"))


def _forwarded(headers: Mapping[str, str]) -> _Told:
    text = headers.get("forwarded")
    if text is None:
        return _Told([], [], [])
    elements: list[dict[str, str]] = [{}]
    at = 0
    while (pair := _PAIR.match(text, at)) is not None:
        name, quoted, token, end = pair.groups()
        elements[-1][name.lower()] = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = pair.end()
        if end == ",":
            elements.append({})
        elif end == "":
            return _Told(*([each.get(name, "") for each in elements] for name in ("for", "proto", "host")))
    return _Told([_UNKNOWN], [], [])


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, perhaps in brackets or with a port, without a zone."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = _PORT.sub("", text)
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
