"""Load, memory, power and temperature of NVIDIA's GPUs, by NVML, where the program has loaded that itself.

Nothing is loaded for it: not ``ctypes``, which a program that uses a GPU has imported, and not NVML, of which
``RTLD_NOLOAD`` gives the one that is mapped into the process. So a program without a GPU pays one look a round.

Shown are the GPUs that ``CUDA_VISIBLE_DEVICES`` names by number, all without it; ``GPUS_MAX`` at most. A call that NVML
refuses leaves its value out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from steplog.loaded import loaded

__all__ = ["GPUS_MAX", "METRICS", "GpuReader", "loaded_nvml"]

METRICS = ("utilization_percent", "memory_bytes", "memory_percent", "power_watts", "temperature_celsius")
GPUS_MAX = 16
_LIBRARY = "libnvidia-ml.so.1"
_CELSIUS = 0  # NVML_TEMPERATURE_GPU


def loaded_nvml() -> Any:
    """NVML as this process has loaded it; None: it has not."""
    ctypes = loaded("ctypes")
    if ctypes is None or not hasattr(ctypes, "PyDLL") or not hasattr(os, "RTLD_NOLOAD"):
        return None  # or its import is under way
    try:
        return ctypes.CDLL(_LIBRARY, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError:
        return None


class GpuReader:
    """Of this process; ``find`` gives NVML."""

    def __init__(self, find: Callable[[], Any] = loaded_nvml, environ: Mapping[str, str] = os.environ) -> None:
        self._find = find
        self._environ = environ
        self._nvml: Any = None
        self._gpus: dict[int, Any] = {}  # by number: what NVML calls it by

    def metrics(self) -> dict[str, float]:
        """What is there now."""
        if self._nvml is None:
            self._nvml = self._find()
            if self._nvml is None:
                return {}
            self._gpus = self._begin()
        found: dict[str, float] = {}
        for number, gpu in self._gpus.items():
            found |= {f"gpu.{number}.{name}": value for name, value in self._of(gpu).items()}
        return found

    def _begin(self) -> dict[int, Any]:
        ctypes: Any = sys.modules["ctypes"]
        count = ctypes.c_uint()
        if self._nvml.nvmlInit_v2() or self._nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)):
            return {}
        gpus = {}
        for number in self._numbers(count.value):
            gpu = ctypes.c_void_p()
            if not self._nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(number), ctypes.byref(gpu)):
                gpus[number] = gpu
        return gpus

    def _numbers(self, count: int) -> list[int]:
        visible = [part.strip() for part in self._environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
        named = [int(part) for part in visible if part.isdigit() and int(part) < count]
        return (named or list(range(count)))[:GPUS_MAX]

    def _of(self, gpu: Any) -> dict[str, float]:
        ctypes: Any = sys.modules["ctypes"]
        nvml, byref, found = self._nvml, ctypes.byref, {}
        utilization, memory = (ctypes.c_uint * 2)(), (ctypes.c_ulonglong * 3)()
        milliwatts, celsius = ctypes.c_uint(), ctypes.c_uint()
        if not nvml.nvmlDeviceGetUtilizationRates(gpu, byref(utilization)):
            found["utilization_percent"] = float(utilization[0])
        if not nvml.nvmlDeviceGetMemoryInfo(gpu, byref(memory)):
            total, _, used = memory
            found["memory_bytes"] = float(used)
            if total:
                found["memory_percent"] = 100 * used / total
        if not nvml.nvmlDeviceGetPowerUsage(gpu, byref(milliwatts)):
            found["power_watts"] = milliwatts.value / 1000
        if not nvml.nvmlDeviceGetTemperature(gpu, ctypes.c_uint(_CELSIUS), byref(celsius)):
            found["temperature_celsius"] = float(celsius.value)
        return found
