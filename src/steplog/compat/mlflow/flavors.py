"""``mlflow.sklearn``, ``mlflow.pytorch`` and the others: their models and autologging are counted.

They are modules of their own in ``sys.modules``, without a file, so that ``import mlflow.sklearn`` finds them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

from steplog.compat.mlflow.counted import FILES, counted, note
from steplog.compat.mlflow.exceptions import NOT_IMPLEMENTED, MlflowException, missing
from steplog.compat.mlflow.models import ModelInfo

__all__ = ["FLAVORS", "PyFuncModel", "PythonModel", "PythonModelContext", "autolog", "flavor"]

_NAMES = """
    ag2 agno anthropic autogen bedrock catboost crewai diffusers dspy fastai gemini gluon groq h2o haystack
    johnsnowlabs keras langchain lightgbm litellm llama_index mistral mleap onnx openai paddle pmdarima promptflow
    prophet pydantic_ai pyfunc pyspark pytorch rfunc semantic_kernel sentence_transformers shap sklearn smolagents
    spacy spark statsmodels strands tensorflow transformers xgboost"""
FLAVORS = tuple(_NAMES.split())
_ADAPTERS = {
    "keras": "steplog.integrations.keras.SteplogCallback()",
    "lightgbm": "steplog.integrations.lightgbm.steplog_callback()",
    "pytorch": "steplog.integrations.lightning.SteplogLogger(), with Lightning",
    "sklearn": "steplog.integrations.sklearn.SteplogCallback()",
    "tensorflow": "steplog.integrations.keras.SteplogCallback()",
    "transformers": "steplog.integrations.transformers.SteplogCallback()",
    "xgboost": "steplog.integrations.xgboost.SteplogCallback()",
}
_ALL = "nothing logs by itself; give the framework an adapter of steplog.integrations, or log what you need"


class PythonModel:
    """The base class of a model of one's own."""

    def load_context(self, context: Any) -> None:
        """Do nothing: no model is loaded."""

    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """The model's own."""
        raise NotImplementedError


class PythonModelContext:
    """What ``load_context`` would be given."""


class PyFuncModel:
    """What ``load_model`` would give."""


_PYFUNC = {each.__name__: each for each in (PythonModel, PythonModelContext, PyFuncModel)}


def autolog(*_: Any, disable: bool = False, **__: Any) -> None:
    """Counted: nothing logs by itself."""
    if not disable:
        note("autolog", _ALL)


def flavor(name: str) -> ModuleType:
    """The module of a framework. ``name`` is one of FLAVORS."""
    path = f"{__package__}.{name}"
    found = sys.modules.get(path)
    if found is None:
        found = sys.modules[path] = _Flavor(path, f"``mlflow.{name}``: its calls are counted.")
    return found


class _Flavor(ModuleType):
    def __init__(self, name: str, doc: str) -> None:
        super().__init__(name, doc)
        self.__spec__ = ModuleSpec(name, None, is_package=True)
        self.__package__ = name
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        framework = self.__name__.rpartition(".")[2]
        if framework == "pyfunc" and name in _PYFUNC:
            return _PYFUNC[name]
        if name == "autolog":
            return _autolog(framework)
        if name == "log_model":
            return _log_model(framework)
        if name == "save_model":
            words = f"mlflow.{framework}.save_model(): steplog writes no models; save it by {framework}'s own means"
            return _refuse(words)
        if name.startswith("log_"):
            return counted(f"{framework}.{name}", FILES)
        if name.startswith("load_") or name == "spark_udf":
            return _load(f"{framework}.{name}")
        if name in ("MlflowCallback", "MlflowModelCheckpointCallback") and framework in _ADAPTERS:
            return _refuse(f"mlflow.{framework}.{name}() is not here; use {_ADAPTERS[framework]}")
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def _autolog(framework: str) -> Callable[..., None]:
    adapter = _ADAPTERS.get(framework)
    advice = f"give {framework} an adapter: {adapter}" if adapter else "log what you need: mlflow.log_metric(…)"

    def function(*_: Any, disable: bool = False, **__: Any) -> None:
        if not disable:
            note(f"{framework}.autolog", f"nothing logs by itself; {advice}")

    return function


def _log_model(framework: str) -> Callable[..., ModelInfo]:
    count = counted(f"{framework}.log_model", FILES)

    def log_model(*given: Any, **named: Any) -> ModelInfo:
        count()
        name = named.get("name") or named.get("artifact_path")
        texts = [each for each in given if isinstance(each, str)]
        return ModelInfo(str(name or next(iter(texts), "model")), framework)

    return log_model


def _refuse(words: str) -> Callable[..., NoReturn]:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise MlflowException(words, error_code=NOT_IMPLEMENTED)

    return refuse


def _load(call: str) -> Callable[..., NoReturn]:
    def load(*_: Any, **__: Any) -> NoReturn:
        raise missing(f"mlflow.{call}(): steplog keeps no models; load it from where it was saved")

    return load
