"""A clock for tests."""

from __future__ import annotations

__all__ = ["FakeClock"]


class FakeClock:
    """A monotonic and a wall clock that stand still; ``slept`` lists every sleep in seconds."""

    def __init__(self, monotonic_s: float = 1000.0, time_ns: int = 1_700_000_000_000_000_000) -> None:
        self._monotonic_s = monotonic_s
        self._time_ns = time_ns
        self.slept: list[float] = []

    def monotonic(self) -> float:
        """Monotonic time in seconds."""
        return self._monotonic_s

    def time_ns(self) -> int:
        """Wall time in nanoseconds since the epoch."""
        return self._time_ns

    def advance(self, seconds: float) -> None:
        """Advance both clocks."""
        if seconds < 0:
            raise ValueError("time does not go back; use step_wall")
        self._monotonic_s += seconds
        self._time_ns += round(seconds * 1e9)

    def step_wall(self, seconds: float) -> None:
        """Step the wall clock, forward or back, as NTP does."""
        self._time_ns += round(seconds * 1e9)

    def sleep(self, seconds: float) -> None:
        """Advance both clocks at once, without waiting."""
        self.slept.append(seconds)
        self.advance(seconds)
