"""The proxy for a server, from the environment.

``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, lower case first, mean what they mean to ``requests``.
NO_PROXY lists hosts with or without a port, domain suffixes, addresses, IPv4 networks, or "*". A proxy for SOCKS, over
TLS or without a host is refused, not bypassed.
"""

from __future__ import annotations

import os
import socket
from base64 import b64encode
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from steplog.secret import Secret

__all__ = ["Proxy", "ProxyAddressError", "proxy_for"]


class ProxyAddressError(ValueError):
    """The address of the proxy cannot be used."""


class Proxy(msgspec.Struct, frozen=True):
    """Where a proxy listens, and its Proxy-Authorization."""

    host: str
    port: int
    authorization: Secret | None


def proxy_for(url: str) -> Proxy | None:
    """The proxy for ``url``, if any. Raises ProxyAddressError."""
    if not any(name[-6:].lower() == "_proxy" for name in os.environ):
        return None
    from urllib.request import getproxies

    server = urlsplit(url)
    host = server.hostname or ""
    if _is_direct(server, host):
        return None
    proxies = getproxies()
    for name in (f"{server.scheme}://{host}", server.scheme, f"all://{host}", "all"):
        if name in proxies:
            return _proxy(proxies[name])
    return None


def _proxy(text: str) -> Proxy:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text.lstrip('/')}")
        host, port = parts.hostname if parts.scheme == "http" else None, parts.port or 80
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        credentials = b64encode(f"{user}:{password}".encode("latin-1")).decode("ascii")
    except ValueError:
        host = None
    if not host:
        raise ProxyAddressError
    return Proxy(host, port, Secret(f"Basic {credentials}") if user else None)


def _is_direct(server: SplitResult, host: str) -> bool:
    from urllib.request import proxy_bypass

    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = [name for name in listed.replace(" ", "").split(",") if name]
    address = _ipv4(host)
    if address is not None:
        found = any(host == name or _is_within(address, name) for name in names)
    else:
        places = (f".{host}", f".{host}:{server.port}")
        found = any(place.endswith(f".{name.lstrip('.')}") for name in names for place in places)
    return found or proxy_bypass(host)


def _ipv4(text: str) -> int | None:
    try:
        return int.from_bytes(socket.inet_aton(text), "big")
    except (OSError, ValueError):
        return None


def _is_within(address: int, network: str) -> bool:
    start, _, bits = network.partition("/")
    first = _ipv4(start)
    if first is None or not bits.isdecimal() or not 1 <= int(bits) <= 32:
        return False
    return (address ^ first) >> (32 - int(bits)) == 0
