"""``mlflow.data``: a dataset is its name and its source, which ``log_input`` counts."""

from __future__ import annotations

from typing import Any

__all__ = [
    "Dataset",
    "Image",
    "from_huggingface",
    "from_numpy",
    "from_pandas",
    "from_polars",
    "from_spark",
    "get_source",
]


class Dataset:
    """What a run reads; the data itself is not looked at."""

    def __init__(self, name: str | None = None, source: Any = None) -> None:
        self.name = name or "dataset"
        self.source = source
        self.digest = ""
        self.schema: object = None
        self.profile: object = None

    def to_dict(self) -> dict[str, Any]:
        """Its name and its source."""
        return {"name": self.name, "source": str(self.source), "digest": self.digest}


class Image:
    """An image for ``log_image`` and ``log_table``: an array, Pillow's, nested lists or a path."""

    def __init__(self, image: Any) -> None:
        self.image = image


def from_pandas(df: Any, source: Any = None, targets: Any = None, name: str | None = None, **_: Any) -> Dataset:
    """Of a data frame."""
    return Dataset(name, source)


def from_numpy(features: Any, source: Any = None, targets: Any = None, name: str | None = None, **_: Any) -> Dataset:
    """Of arrays."""
    return Dataset(name, source)


def from_polars(df: Any, source: Any = None, targets: Any = None, name: str | None = None, **_: Any) -> Dataset:
    """Of a data frame."""
    return Dataset(name, source)


def from_spark(df: Any, path: str | None = None, *_: Any, name: str | None = None, **__: Any) -> Dataset:
    """Of a data frame."""
    return Dataset(name, path)


def from_huggingface(ds: Any, path: str | None = None, *_: Any, name: str | None = None, **__: Any) -> Dataset:
    """Of a dataset."""
    return Dataset(name, path)


def get_source(dataset: Any) -> Any:
    """Where it is from."""
    return dataset.source
