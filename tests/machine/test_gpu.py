"""GPUs by a library that stands in for NVML, loaded into the process as a program loads it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from steplog.machine.gpu import METRICS, GpuReader, loaded_nvml

COMPILER = shutil.which("cc") or shutil.which("gcc")
pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="there is no C compiler"),
    pytest.mark.skipif(sys.platform != "linux", reason="NVML is looked for on Linux alone"),
]
SOURCE = """
static int begun = 0;
int nvmlInit_v2(void) { begun = 1; return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 3; return begun ? 0 : 1; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **gpu) { *gpu = (void *)(long)(index + 1); return 0; }
int nvmlDeviceGetUtilizationRates(void *gpu, unsigned *rates) { rates[0] = 40 + (long)gpu; rates[1] = 7; return 0; }
int nvmlDeviceGetMemoryInfo(void *gpu, unsigned long long *memory) {
    memory[0] = 1000; memory[1] = 750; memory[2] = 250; return 0;
}
int nvmlDeviceGetPowerUsage(void *gpu, unsigned *milliwatts) { *milliwatts = 75500; return (long)gpu == 2; }
int nvmlDeviceGetTemperature(void *gpu, int sensor, unsigned *celsius) { *celsius = 61; return sensor; }
"""
PROGRAM = """
import sys
from steplog.machine.gpu import GpuReader, loaded_nvml
assert "ctypes" not in sys.modules
assert loaded_nvml() is None and GpuReader().metrics() == {}
assert "ctypes" not in sys.modules
import ctypes
reader = GpuReader(environ={"CUDA_VISIBLE_DEVICES": sys.argv[2]})
assert loaded_nvml() is None and reader.metrics() == {}
ctypes.CDLL(sys.argv[1])
import json
print(json.dumps(reader.metrics()))
"""


@pytest.fixture(scope="module")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("nvml")
    (directory / "nvml.c").write_text(SOURCE)
    library = directory / "libnvidia-ml.so.1"
    arguments = ("-shared", "-fPIC", "-Wl,-soname,libnvidia-ml.so.1", "-o", str(library), str(directory / "nvml.c"))
    subprocess.run((str(COMPILER), *arguments), check=True)
    return library


def read(nvml: Path, visible: str) -> dict[str, float]:
    done = subprocess.run(
        (sys.executable, "-c", PROGRAM, str(nvml), visible), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout)
    return found


def test_gpus_are_read_once_the_program_has_loaded_nvml_and_nothing_is_loaded_for_it(nvml):
    found = read(nvml, "")
    assert [name for name in found if name.startswith("gpu.0.")] == [f"gpu.0.{name}" for name in METRICS]
    assert found["gpu.0.utilization_percent"] == 41
    assert found["gpu.2.utilization_percent"] == 43
    assert found["gpu.0.memory_bytes"] == 250
    assert found["gpu.0.memory_percent"] == 25
    assert found["gpu.0.power_watts"] == 75.5
    assert found["gpu.0.temperature_celsius"] == 61
    assert "gpu.1.power_watts" not in found  # which NVML refuses


@pytest.mark.parametrize(
    ("visible", "numbers"), [("1", {"1"}), ("0, 2", {"0", "2"}), ("GPU-abc", {"0", "1", "2"}), ("9", {"0", "1", "2"})]
)
def test_those_that_the_program_may_use_are_read(nvml, visible, numbers):
    assert {name.split(".")[1] for name in read(nvml, visible)} == numbers


def test_without_nvml_there_is_nothing():
    assert loaded_nvml() is None
    assert GpuReader(lambda: None).metrics() == {}
