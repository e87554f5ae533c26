"""A server's address: its canonical form and its parts."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

__all__ = ["canonical_url", "endpoint", "is_loopback", "local_instance", "local_url", "with_port"]

_LOCAL = "steplog-local:"
_PORTS = {"http": 80, "https": 443}


def canonical_url(text: str) -> str:
    """The address as it is compared, stored and shown: lower case, no default port, no trailing slash.

    Raises ValueError that does not quote the address, which may hold a password.
    """
    if not text.isascii() or any(character <= " " or character == "\x7f" for character in text):
        raise ValueError("an address has neither spaces nor characters beyond ASCII")
    parts = urlsplit(text)
    scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    if scheme not in _PORTS or not host:
        raise ValueError("an address begins with https:// (or http://) and a host name")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address holds no user name and no password; the key goes into STEPLOG_API_KEY")
    if parts.query or parts.fragment:
        raise ValueError("an address has no '?' and no '#'")
    if port == 0:
        raise ValueError("0 is not a port")
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}{'' if port in (None, _PORTS[scheme]) else f':{port}'}{parts.path.rstrip('/')}"


def endpoint(url: str) -> tuple[bool, str, int]:
    """Whether a canonical address is one of TLS, its host, and its port."""
    parts = urlsplit(url)
    return parts.scheme == "https", parts.hostname or "", parts.port or _PORTS[parts.scheme]


def is_loopback(url: str) -> bool:
    """Whether the host is localhost, in 127.0.0.0/8, or ::1."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def local_url(instance: str) -> str:
    """What a manifest names the embedded server of this machine by, whichever port it has."""
    return f"{_LOCAL}{instance}"


def local_instance(url: str) -> str | None:
    """The instance in an address of ``local_url``; None for any other."""
    return url.removeprefix(_LOCAL) if url.startswith(_LOCAL) else None


def with_port(address: str, port: int | str | None) -> str:
    """The address with the port, unless it has one. Raises ValueError if it has another one."""
    if port in (None, ""):
        return address
    own = urlsplit(address).port
    if own not in (None, int(port)):
        raise ValueError(f"port {port} is given, and {own} in the address")
    return address if own is not None else f"{address.rstrip('/')}:{port}"
