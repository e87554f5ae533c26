"""What a user may set of delivery. Pure."""

from __future__ import annotations

import msgspec

__all__ = ["DeliveryOptions"]


class DeliveryOptions(msgspec.Struct, frozen=True):
    """How long records may linger, how many requests at once go to a stock server, and the share of a processor."""

    batch_age_s: float = 0.9
    connections_max: int = 8
    cpu_share_max: float = 1.0  # of a processor, for all of it, while nobody waits
