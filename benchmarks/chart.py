"""The README's chart: duration of one ``log()``, ours and the peers', logarithmic, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

__all__ = ["bars"]

WIDTH, ROW, LEFT, RIGHT, TOP = 760, 26, 190, 90, 44


def bars(title: str, unit: str, rows: Sequence[tuple[str, float, bool]]) -> str:
    """Draw rows of label, value and whether it is ours, shortest first."""
    rows = sorted((row for row in rows if row[1] > 0), key=lambda row: row[1])
    low = 10 ** math.floor(math.log10(min(value for _, value, _ in rows)))
    high = 10 ** math.ceil(math.log10(max(value for _, value, _ in rows)) + 1e-9)
    scale = (WIDTH - LEFT - RIGHT) / math.log10(high / low)
    height = TOP + ROW * len(rows) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="{escape(title)}">',
        "<style>text{fill:#1f2328}.g{stroke:#8884}.o{fill:#1a7f37}.p{fill:#8c959f}"
        "@media(prefers-color-scheme:dark){text{fill:#e6edf3}}</style>",
        f'<text x="8" y="18" font-weight="600">{escape(title)}</text>',
    ]
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        x = LEFT + scale * math.log10(10**power / low)
        parts.append(f'<line class="g" x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - 8}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{TOP - 10}" font-size="11" text-anchor="middle">{_number(10.0**power)}</text>'
        )
    for index, (label, value, ours) in enumerate(rows):
        y, long = TOP + ROW * index, max(2.0, scale * math.log10(value / low))
        parts.append(f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end">{escape(label)}</text>')
        kind = "o" if ours else "p"
        parts.append(f'<rect class="{kind}" x="{LEFT}" y="{y + 3}" width="{long:.1f}" height="{ROW - 8}" rx="2"/>')
        parts.append(f'<text x="{LEFT + long + 6:.1f}" y="{y + 16}">{_number(value)} {escape(unit)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
