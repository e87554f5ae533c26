"""What of an application is for those who operate it, rather than for those who use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from steplog.server.draining import Draining
from steplog.server.prometheus import Counts, Figures
from steplog.server.proxies import LOOPBACK, Networks, Proxies
from steplog.server.quotas import Quotas
from steplog.server.seen_request import SeenRequest

__all__ = ["Service"]


@dataclass(frozen=True)
class Service:
    """How an application is reached, watched, and taken out of service.

    Attributes:
        observers: called with each request that is over.
        figures: those of all parts but the store; more may come after the start.
        metrics_from: who may read figures without a key.
        proxies: None: no proxy is believed.
        quotas: what each key has left.
        proxies_only: refuse who comes by no trusted proxy: it would not be encrypted.
    """

    draining: Draining = field(default_factory=Draining)
    observers: list[Callable[[SeenRequest], None]] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    figures: list[Figures] = field(default_factory=list)
    metrics_from: Networks = LOOPBACK
    proxies: Proxies | None = None
    proxies_only: bool = False
    quotas: Quotas = field(default_factory=Quotas)
