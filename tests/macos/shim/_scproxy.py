"""Of macOS's Python: the proxies in its settings, of which there are none."""

from __future__ import annotations

__all__ = ["_get_proxies", "_get_proxy_settings"]


def _get_proxies() -> dict[str, str]:
    return {}


def _get_proxy_settings() -> dict[str, bool]:
    return {}
