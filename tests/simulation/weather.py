"""The weather between an agent and a server: what goes wrong when, drawn from a seed.

A weather is a list of windows, each of one kind, and some moments at which the server itself changes. Every window
ends, so that afterwards all is well; what each kind does to a request is in ``Weather.strike``.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from steplog.testing.memory_server import Fault

WINDOWS = {  # kind: how often, the longest time it lasts, in seconds
    "down": (5, 900),
    "dark": (3, 300),  # no answer until the client gives up; carried out at once, late, or never
    "lossy": (6, 600),  # answers are lost, some requests too
    "errors": (4, 400),  # 5xx, also after storing
    "busy": (4, 200),  # 429 and 503 with every sort of Retry-After
    "proxy 400": (3, 3600),
    "proxy 403": (2, 3600),
    "proxy 404": (1, 900),
    "proxy 415": (1, 300),
    "proxy 413": (1, 300),
    "redirect": (1, 300),
    "portal": (2, 600),  # 200 with a page
    "garbled": (3, 600),  # stored, and an answer that confirms nothing
    "small": (4, 900),  # 413 above a limit
    "key": (2, 900),  # 401
}
NONSENSE_S = 3.0  # how long a proxy in front of the server may answer anything
NONSENSE = (
    (404, b"<html>default backend - 404</html>", {"content-type": "text/html"}),
    (404, b'{"detail":"Not found."}', {"content-type": "application/json"}),
    (404, b'{"message":"no route matched"}', {"content-type": "application/json"}),
    (410, b"gone", {}),
    (429, b"slow", {"retry-after": "1000000000"}),
    (503, b"slow", {"retry-after": "Fri, 31 Dec 2199 23:59:59 GMT", "date": "Thu, 01 Jan 2026 00:00:00 GMT"}),
    (401, b"<html>who are you</html>", {}),
    (403, b"<html>no</html>", {}),
    (400, b"<html>bad</html>", {}),
    (200, b"<html>please log in</html>", {}),
    (302, b"", {"location": "https://elsewhere.invalid/login"}),
)
MOMENTS = ("restore", "restore", "delete", "upgrade", "downgrade")
RETRY_AFTER = (
    "0", "1", "7", "30", "-1", "nan", "inf", "1e12", "soon", "", "5, 7", "86400", "1.5",
    "Thu, 01 Jan 2026 00:00:20 GMT", "Fri, 01 Jan 2027 00:00:00 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT", "Thu, 99 Nix 2026 00:00:00 GMT",
)  # fmt: skip
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
PAGE = b"<html>Welcome to the airport</html>"
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Window:
    """One kind of trouble from ``start`` to ``end``, on a ``share`` of the requests."""

    kind: str
    start: float
    end: float
    share: float = 1.0


@dataclass(frozen=True)
class Blow:
    """What happens to one request: after how long it arrives (None: never), the answer comes, and which fault it is."""

    arrives_s: float | None
    answers_s: float
    fault: Fault | None = None
    answered: bool = True


@dataclass
class Weather:
    """All that will happen to one server."""

    windows: list[Window] = field(default_factory=list)
    moments: list[tuple[float, str]] = field(default_factory=list)
    round_trip_s: float = 0.02

    @classmethod
    def draw(cls, source: random.Random, start: float, stock: bool) -> Weather:
        """A weather that is over some time after ``start``."""
        kinds, weights = list(WINDOWS), [often for often, _ in WINDOWS.values()]
        weather = cls(round_trip_s=source.choice((0.002, 0.02, 0.02, 0.2)))
        length = source.choice((30, 300, 300, 1200, 4000))
        for kind in source.choices(kinds, weights, k=source.choice((0, 1, 1, 2, 2, 3, 4, 6))):
            begin = start + source.uniform(0, length)
            lasts = min(source.choice((1, 10, 60, 600, 3600)) * source.uniform(0.5, 1), WINDOWS[kind][1])
            share = (
                1.0
                if kind.startswith(("proxy", "key", "small", "down", "redirect"))
                else source.choice((0.1, 0.3, 1.0))
            )
            if kind == "errors":
                share = min(share, 0.3)
            weather.windows.append(Window(kind, begin, begin + lasts, share))
        if source.random() < 0.3:
            kind = source.choice(MOMENTS)
            if kind != "restore" or not stock:  # a stock server cannot tell that it went back
                weather.moments.append((start + source.uniform(0, length), kind))
        return weather

    def add_nonsense(self, source: random.Random, start: float, length: float) -> None:
        """Have a proxy answer one kind of nonsense for three seconds; ``kind`` ends in which."""
        begin = start + source.uniform(0, length)
        self.windows.append(Window(f"nonsense {source.randrange(len(NONSENSE))}", begin, begin + NONSENSE_S))

    def calm(self) -> float:
        """When all of it is over."""
        return max([0.0, *(window.end for window in self.windows), *(time for time, _ in self.moments)])

    def has(self, *kinds: str) -> bool:
        """Whether any of these is part of it."""
        drawn = {kind for window in self.windows for kind in (window.kind, window.kind.split()[0])}
        return any(kind in drawn for kind in kinds) or any(kind in kinds for _, kind in self.moments)

    def strike(self, now: float, source: random.Random) -> Blow:
        """What happens to a request that is sent now."""
        there = self.round_trip_s * source.uniform(0.3, 0.7)
        back = self.round_trip_s
        for window in self.windows:
            if window.start <= now < window.end and source.random() < window.share:
                blow = self._blow(window.kind, there, back, source)
                if blow is not None:
                    return blow
        return Blow(there, back)

    def limit(self, now: float) -> int | None:
        """How long a body the server takes now, in bytes."""
        for window in self.windows:
            if window.kind == "small" and window.start <= now < window.end:
                return 600 + 300 * (int(now - window.start) // 20 % 3)  # it changes all the time
        return None

    def key_is_bad(self, now: float) -> bool:
        """Whether the key that clients have is out of date."""
        return any(window.kind == "key" and window.start <= now < window.end for window in self.windows)

    def _blow(self, kind: str, there: float, back: float, source: random.Random) -> Blow | None:
        stored = source.random() < 0.5
        match kind.split():
            case ["down"]:
                return Blow(None, source.choice((0.001, 0.001, 3.0)), answered=False)
            case ["dark"]:
                arrives = source.choice((there, TIMEOUT_S + source.uniform(0, 40), None))
                return Blow(arrives, TIMEOUT_S, answered=False)
            case ["lossy"]:
                return Blow(there if stored else None, back, answered=False)
            case ["errors"]:
                status = source.choice((500, 502, 503, 504, 507, 599))
                return Blow(there, back, Fault(status, b"oops", stored=stored))
            case ["busy"]:
                headers = {"retry-after": source.choice(RETRY_AFTER)}
                if source.random() < 0.7:
                    headers["date"] = DATE
                return Blow(there, back, Fault(source.choice((408, 425, 429, 503)), b"later", headers))
            case ["proxy", status]:
                return Blow(there, back, Fault(int(status), b"not for you"))
            case ["nonsense", which]:
                status_, body, said = NONSENSE[int(which)]
                return Blow(there, back, Fault(status_, body, said))
            case ["redirect"]:
                fault = Fault(source.choice((301, 302, 307, 308)), headers={"location": "https://elsewhere.invalid/"})
                return Blow(there, back, fault)
            case ["portal"]:
                return Blow(there, back, Fault(200, PAGE))
            case ["garbled"]:
                body = source.choice(
                    (b"", PAGE, b"{}", b'{"writer":"x","first":0,"end":1,"accepted":1,"duplicates":0}')
                )
                return Blow(there, back, Fault(source.choice((200, 201, 204)), body, stored=True))
        return None
