"""The proxy on the way to a server. Imported only where the environment names one.

``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, in lower case first, mean what ``requests`` takes them
for: NO_PROXY holds hosts with or without a port, the ends of their names, addresses, IPv4 networks (CIDR), or "*". An
address without a scheme is one of http. A proxy is spoken to in clear; one of SOCKS, of TLS, or without a host cannot
be used, and is not bypassed.
"""

from __future__ import annotations

import os
import socket
from base64 import b64encode
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from steplog.network.connection import Proxy, ProxyAddressError
from steplog.secret import Secret

__all__ = ["proxy_for"]


def proxy_for(url: str) -> Proxy | None:
    """The proxy through which ``url`` is asked, if any. Raises ProxyAddressError."""
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
        known = b64encode(f"{user}:{password}".encode("latin-1")).decode("ascii")
    except ValueError:
        host = None
    if not host:
        raise ProxyAddressError
    return Proxy(host, port, Secret(f"Basic {known}") if user else None)


def _is_direct(server: SplitResult, host: str) -> bool:
    listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = [name for name in listed.replace(" ", "").split(",") if name]
    address = _ipv4(host)
    if address is not None:
        found = any(host == name or _is_within(address, name) for name in names)
    else:
        places = (f".{host}", f".{host}:{server.port}")
        found = any(place.endswith(f".{name.lstrip('.')}") for name in names for place in places)
    return found or bool(proxy_bypass(host))


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
