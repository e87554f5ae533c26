"""Projects and runs for the tests of the page, and their URLs: small ones by hand, large ones quickly, live ones."""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from server.batches import BEGAN_NS, range_of
from server.process import ServerProcess
from steplog import instance
from steplog.journal import slot
from steplog.journal.range import Range

CARDS = "[...document.querySelectorAll('.card h3')].map((each) => each.textContent)"
DRAWN = "document.querySelectorAll('.card canvas').length"
SLOT = np.dtype(
    [
        ("step", "<i8"),
        ("value", "<f8"),
        ("time_ns", "<i8"),
        ("name", "<u4"),
        ("unused", "<u2"),
        ("kind", "<u2"),
    ]
)
SLOTS_MAX = 32_000  # of a batch: 1 MiB
SECOND_NS = 1_000_000_000


def address(server: ServerProcess, path: str) -> str:
    """The URL of a page, with the token that signs in to read."""
    state = instance.read(server.state)
    assert state is not None
    return instance.page_url(state, path)


def project(server: ServerProcess, name: str) -> str:
    """The path of a new project."""
    made = server.ask("POST", "/team/projects/", json={"display_name": name, "visibility": "TEAM"})
    assert made.status_code == 201, made.text
    return f"/team/projects/{made.json()['slug']}/"


def new_run(server: ServerProcess, place: str, **fields: Any) -> str:
    """The path of a new run."""
    made = server.ask("POST", f"{place}runs/", json=fields)
    assert made.status_code == 201, made.text
    return f"{place}runs/{made.json()['uuid']}/"


def uuid_of(run: str) -> str:
    return run.rstrip("/").rpartition("/")[2]


class Live:
    """A run that is being written: each ``log`` delivers what it is given."""

    def __init__(self, server: ServerProcess, place: str, **fields: Any) -> None:
        """``config`` besides the fields of a run; ``group``, ``tags``, ``notes``, … are told as its process does."""
        self._server = server
        self._sent = 0
        direct = {name: fields.pop(name) for name in ("name", "description", "status") if name in fields}
        self.path = new_run(server, place, **direct)
        self.uuid = uuid_of(self.path)
        config = fields.pop("config", None)
        told: list[Any] = [] if config is None else [("steplog/config", json.dumps(config).encode())]
        told += [("steplog/run", json.dumps(fields).encode())] if fields else []
        if told:
            self.log(told)

    def log(self, records: Sequence[Any], began_ns: int = BEGAN_NS) -> None:
        """Deliver ``(name, value, step)`` or ``(name, value)``; bytes are JSON text."""
        self.send(range_of(records, first=self._sent, began_ns=began_ns))

    def log_curves(
        self,
        curves: dict[str, Any],
        *,
        first_step: int = 0,
        every: int = 1,
        began_ns: int = BEGAN_NS,
        step_ns: int = SECOND_NS,
    ) -> None:
        """Deliver arrays of one length: a value of each metric ``every`` so many steps, which take ``step_ns`` each."""
        length = len(next(iter(curves.values())))
        at_once = max(1, SLOTS_MAX // len(curves))
        for start in range(0, length, at_once):
            part = {name: values[start : start + at_once] for name, values in curves.items()}
            steps = first_step + every * np.arange(start, min(length, start + at_once))
            self.send(range_of_curves(part, self._sent, steps, began_ns + steps * step_ns))

    def send(self, batch: Range) -> None:
        """Deliver a range that begins where the last one ended."""
        answer = self._server.send(self.path, batch)
        assert answer.status_code == 200, answer.text
        self._sent = batch.end

    def end(self, status: str = "COMPLETED", **fields: Any) -> None:
        """Say that the run has ended, and how."""
        answer = self._server.ask("PATCH", self.path, json={"status": status, **fields})
        assert answer.status_code == 200, answer.text


def range_of_curves(curves: dict[str, Any], first: int, steps: Any, times_ns: Any) -> Range:
    """A range of arrays of one length: a value of each metric at each step."""
    values = np.array(list(curves.values()), dtype=float).T
    slots = np.zeros(values.shape, SLOT)
    slots["step"] = steps[:, None]
    slots["value"] = values
    slots["time_ns"] = times_ns[:, None] + np.arange(len(curves))[None, :]
    slots["name"] = np.arange(len(curves))[None, :]
    slots["kind"] = slot.KIND_FLOAT
    return Range("w", first, first + values.size, dict(enumerate(curves)), slots.tobytes(), b"")


def curve(number: int, steps: int, *, scale: float = 1.0) -> Any:
    """A noisy curve that falls, as a loss does; another one for each number, the same each time."""
    at = np.arange(steps)
    noise = np.random.default_rng(number).normal(0, 0.05, steps)
    speed = 3 + number % 7
    return scale * (0.1 + 0.05 * (number % 5) + np.exp(-speed * at / max(1, steps)) + noise * np.exp(-at / steps))


def metric_names(count: int) -> list[str]:
    """So many names, in sections of ten as trainings have them."""
    sections = ("train", "eval", "layers", "optimizer", "data", "memory")
    return [f"{sections[at // 10 % len(sections)]}/metric_{at}" for at in range(count)]


def sweep(
    server: ServerProcess, name: str, *, runs: int, metrics: int, steps: int, ended: bool = True
) -> tuple[str, list[Live]]:
    """A project of runs with as many metrics, each with a value a step; config, groups and tags as of a sweep."""
    place = project(server, name)
    made = []
    for number in range(runs):
        config = {
            "lr": [0.1, 0.03, 0.01, 0.003][number % 4],
            "optimizer": ["adam", "sgd", "lion"][number % 3],
            "seed": number,
            "model": {"layers": 2 + number % 3, "width": 128 << (number % 2)},
        }
        run = Live(
            server, place, name=f"run {number}", config=config, group=f"group {number % 4}", tags=[f"tag {number % 5}"]
        )
        names = metric_names(metrics)
        run.log_curves({each: curve(number * 100 + at, steps) for at, each in enumerate(names)})
        if ended:
            run.end()
        made.append(run)
    return place, made


@contextlib.contextmanager
def writing(log: Callable[[int], object], every_s: float) -> Iterator[None]:
    """A block beside which runs go on: ``log(n)`` is called at the n-th turn, from 0."""
    ended = threading.Event()

    def write() -> None:
        turn = 0
        while not ended.wait(every_s):
            log(turn)
            turn += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def spiked(steps: int, at: int, height: float) -> Any:
    """A flat curve with one value that stands out: a spike that no drawing may lose."""
    values = np.ones(steps)
    values[at] = height
    return values


def marked(steps: int) -> Any:
    """A curve with a NaN and both infinities, a quarter of its length apart."""
    values = np.linspace(1, 2, steps)
    values[[steps // 4, steps // 2, 3 * steps // 4]] = [math.nan, math.inf, -math.inf]
    return values


def hostile(canary: str) -> list[str]:
    """Names that are code where text is not text; ``canary`` is the host and port that they try to reach."""
    script = f"alert(1);fetch('//{canary}/f');window.pwned=1"
    names = [
        f"<script>{script}</script>",
        f"</script><script>{script}</script>",
        f"</title><script>{script}</script>",
        f'<img src=x onerror="{script}">',
        f"<img src=//{canary}/img>",
        f'<svg onload="{script}">',
        f"<svg><use href=//{canary}/u#x></svg>",
        f"<iframe src=//{canary}/frame></iframe>",
        '<iframe srcdoc="<script>parent.pwned=1</script>">',
        f"<link rel=stylesheet href=//{canary}/css>",
        f"<style>@import '//{canary}/import'</style>",
        f"<body onload={script}>",
        f"<details open ontoggle={script}>",
        f'<a href="javascript:{script}">x</a>',
        f"<meta http-equiv=refresh content=0;url=//{canary}/m>",
        f"<base href=//{canary}/>",
        f'" onmouseover="{script}" x="',
        f"' autofocus onfocus='{script}",
        f"`${{{script}}}`",
        f"{{{{constructor.constructor('{script}')()}}}}",
        f"javascript:{script}",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&#x3c;script&#x3e;alert(1)",
        "%3Cscript%3Ealert(1)%3C/script%3E",
        "\u2028alert(1)\u2029//",
        "\u202etxt.exe\u202c \u2066hidden\u2069 \u200fx",
        "\0\x01\x1b[31mred\x1b[0m\r\n\t\x7f\x85\x9f",
        "\ufeff\u200b\u2060zero\u00adwidth",
        "x" * 256,
        "é" * 128,
        "💥" * 64,
        "<" * 256,
        "../../x?y=1&name=z#w",
        "name with %00 and + and ;",
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty",
        " ",
        "👨‍👩‍👧 مرحبا שלום",
    ]
    assert all(len(name.encode()) <= 256 for name in names)
    return names
