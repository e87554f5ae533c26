"""``wandb.Settings``: what ``init`` is told beside its arguments, by wandb's names.

An argument of ``init`` comes first, then what is set here, then the environment. What steplog has no use for is kept as
an attribute, so that a script finds again what it has set.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

__all__ = ["Settings"]

_DEFAULTS: dict[str, Any] = {
    "allow_val_change": False,
    "anonymous": None,
    "api_key": None,
    "base_url": None,
    "code_dir": None,
    "console": "off",
    "disable_code": False,
    "disable_git": False,
    "entity": None,
    "finish_timeout": 0.0,
    "finish_timeout_raises": False,
    "force": False,
    "fork_from": None,
    "host": None,
    "init_timeout": 90.0,
    "login_timeout": None,
    "mode": "online",
    "notebook_name": None,
    "organization": None,
    "program": None,
    "project": None,
    "quiet": False,
    "reinit": "default",
    "resume": None,
    "resume_from": None,
    "resumed": False,
    "root_dir": None,
    "run_group": None,
    "run_id": None,
    "run_job_type": None,
    "run_name": None,
    "run_notes": None,
    "run_tags": None,
    "save_code": None,
    "show_errors": True,
    "show_info": True,
    "show_warnings": True,
    "silent": False,
    "start_method": None,
    "strict": None,
    "sweep_id": None,
    "symlink": True,
    "sync_tensorboard": None,
    "x_disable_stats": False,
    "x_label": None,
    "x_primary": True,
    "x_update_finish_state": True,
}
_OLD = {"_disable_stats": "x_disable_stats", "group": "run_group", "job_type": "run_job_type", "name": "run_name"}
_OLD |= {"notes": "run_notes", "tags": "run_tags", "id": "run_id", "dir": "root_dir"}


class Settings:
    """Named values; those that are not set have wandb's defaults."""

    def __init__(self, **settings: Any) -> None:
        self.__dict__["_given"] = {}
        for name, value in settings.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        name = _OLD.get(name, name)
        if name == "run_tags" and value is not None:
            value = (value,) if isinstance(value, str) else tuple(value)
        self._given[name] = value

    def __getattr__(self, name: str) -> Any:
        name = _OLD.get(name, name)
        given = self.__dict__.get("_given", {})
        if name in given:
            return given[name]
        if name not in _DEFAULTS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return _DEFAULTS[name]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_DEFAULTS, *self._given})

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self._given.items() if name != 'api_key')})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self._given == other._given

    __hash__ = None  # type: ignore[assignment]  # it may change

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def given(self) -> dict[str, Any]:
        """What has been set, by wandb's present names; a None counts as not set."""
        return {name: value for name, value in self._given.items() if value is not None}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Settings:
        """Another of the same, with changes."""
        made = Settings()
        made._given.update(copy.deepcopy(self._given) if deep else self._given)
        for name, value in (update or {}).items():
            setattr(made, name, value)
        return made

    def update_from_dict(self, settings: Mapping[str, Any]) -> None:
        """Set several; None sets nothing."""
        for name, value in settings.items():
            if value is not None:
                setattr(self, name, value)

    @property
    def _offline(self) -> bool:
        return self.mode in ("offline", "dryrun")

    @property
    def _noop(self) -> bool:
        return bool(self.mode == "disabled")

    @property
    def _shared(self) -> bool:
        return bool(self.mode == "shared")
