"""What to log in place of a value of another library that does not convert."""

from __future__ import annotations

from types import MappingProxyType

__all__ = ["hint"]

_IMAGE = "steplog.Image(value)"
_TABLE = "steplog.Table(dataframe=value)"
_ARRAY = f"{_IMAGE}, steplog.Histogram(value), or a number of it"  # one that is too large
_INSTEAD = MappingProxyType(
    {
        ("PIL", "Image"): _IMAGE,
        ("matplotlib", "Figure"): _IMAGE,
        ("matplotlib", "Axes"): _IMAGE,
        ("plotly", "BaseFigure"): "steplog.Html(value.to_html())",
        ("pandas", "DataFrame"): _TABLE,
        ("polars", "DataFrame"): _TABLE,
        ("pyarrow", "Table"): _TABLE,
        ("numpy", "ndarray"): _ARRAY,
        ("torch", "Tensor"): _ARRAY,
    }
)


def hint(value: object) -> str:
    """``; log …``, and "" for a value of no library that is known here. Nothing is imported, or asked of the value."""
    for kind in type(value).__mro__:
        if instead := _INSTEAD.get((str(kind.__module__).partition(".")[0], kind.__name__)):
            return f"; log {instead}"
    return ""
