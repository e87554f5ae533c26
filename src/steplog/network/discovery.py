"""Finds the embedded servers on this machine, by their state files (``instance``).

A server whose lock is held runs, which costs no exchange. One of 0.1 has no lock: it has to answer the challenge of
``local_server`` within two seconds.
"""

from __future__ import annotations

from pathlib import Path

from steplog import instance
from steplog.network.connection import Connection, Route
from steplog.network.deadline import Exchange
from steplog.network.failures import NETWORK_ERRORS
from steplog.network.local_server import LocalServer

__all__ = ["discover"]

_TIMEOUT_S = 2.0
_ANSWER_BYTES_MAX = 4096


def discover(directory: Path) -> list[LocalServer]:
    """The servers that run here, with this state directory: the one that has run longest first, one of 0.1 last."""
    found = [LocalServer(directory, each.instance) for each in instance.living(directory)]
    older = instance.of_older_version(directory)
    if older is not None and older.instance not in {each.instance for each in found}:
        found.append(LocalServer(directory, older.instance))
    return [each for each in found if each.refresh() and _can_be_reached(each)]


def _can_be_reached(server: LocalServer) -> bool:
    if server.found is not None and server.found.started_ns:
        return True
    exchange = Exchange(_TIMEOUT_S, _TIMEOUT_S, _ANSWER_BYTES_MAX)
    try:
        Connection(Route(False, "", 0, "", None, server), exchange).close()
    except NETWORK_ERRORS:
        return False
    finally:
        exchange.detach()
    return True
