"""How much a key may ask for: requests and bytes a minute, counted by each server process for itself. Pure.

A key has a *bucket* of each, which holds a minute's worth and fills evenly. A request is let in while both have
something, and takes what it costs, also where that is more than there is: then the next ones wait until it is filled
again. So a body that is larger than a minute's worth is slow and not impossible.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import msgspec

from steplog.server.store_types import KeyTerms

__all__ = ["QuotaError", "Quotas"]

_MINUTE_S = 60.0
_KEYS_MAX = 10_000
_RETRY_MAX_S = 3600


class QuotaError(Exception):
    """A key has asked for more than its quota; ``wait_s``: after how many seconds there will be something."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(
            f"This key has asked for more than its quota allows. Nothing was stored; ask again in {wait_s} s."
        )
        self.wait_s = wait_s


class _Bucket:
    __slots__ = ("left", "read_at", "size")

    def __init__(self, size: int, now: float) -> None:
        self.size = size
        self.left = float(size)
        self.read_at = now

    def wait_s(self, size: int, now: float) -> float:
        """How long until there is something in it, which has this size now."""
        filled = (now - self.read_at) * size / _MINUTE_S
        self.left, self.read_at, self.size = min(float(size), self.left + filled), now, size
        return 0.0 if self.left > 0 else max(1 - self.left, 0) * _MINUTE_S / size


class _Buckets:
    __slots__ = ("bytes", "requests")

    def __init__(self, requests: int | None, bytes_: int | None, now: float) -> None:
        self.requests = _Bucket(requests or 0, now)
        self.bytes = _Bucket(bytes_ or 0, now)


class Quotas(msgspec.Struct):
    """What each key has left; those that were used last are kept.

    Attributes:
        requests_a_minute: of a key that says nothing of its own; None: any number.
        bytes_a_minute: of its requests' bodies, likewise.
    """

    requests_a_minute: int | None = None
    bytes_a_minute: int | None = None
    _buckets: OrderedDict[int, _Buckets] = msgspec.field(default_factory=OrderedDict)

    def take(self, key_id: int, terms: KeyTerms, body_bytes: int, now: float) -> None:
        """Take a request from what the key has left. Raises QuotaError."""
        requests = self.requests_a_minute if terms.requests_a_minute is None else terms.requests_a_minute
        bytes_ = self.bytes_a_minute if terms.bytes_a_minute is None else terms.bytes_a_minute
        if requests is None and bytes_ is None:
            return
        buckets = self._buckets.get(key_id)
        if buckets is None:
            buckets = self._buckets[key_id] = _Buckets(requests, bytes_, now)
            if len(self._buckets) > _KEYS_MAX:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key_id)
        waits = [
            bucket.wait_s(size, now)
            for bucket, size in ((buckets.requests, requests), (buckets.bytes, bytes_))
            if size is not None
        ]
        if any(waits):
            raise QuotaError(min(math.ceil(max(waits)), _RETRY_MAX_S))
        buckets.requests.left -= 1
        buckets.bytes.left -= body_bytes

    def add_bytes(self, key_id: int, body_bytes: int) -> None:
        """Take what a request has sent whose head did not say how much that would be."""
        buckets = self._buckets.get(key_id)
        if buckets is not None:
            buckets.bytes.left -= body_bytes
