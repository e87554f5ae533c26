"""``[tool.cibuildwheel]`` is what cibuildwheel takes, and makes a wheel of each platform that is to have one."""

from __future__ import annotations

import importlib.util
import itertools
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from distribution.building import DEADLINE_S, ROOT

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("cibuildwheel") is None, reason="cibuildwheel is not here: steplog[release], on 3.11"
)
PYTHONS = ("cp310", "cp311", "cp312", "cp313", "cp314", "cp314t", "cp315", "cp315t")
PLATFORMS = {
    "linux": ("manylinux_x86_64", "manylinux_aarch64", "musllinux_x86_64", "musllinux_aarch64"),
    "macos": ("macosx_x86_64", "macosx_arm64"),
    "windows": (),
}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_python_has_a_wheel_on_each_platform_and_windows_has_none(platform):
    command = [sys.executable, "-m", "cibuildwheel", "--print-build-identifiers", "--archs", "all"]
    done = subprocess.run(
        [*command, "--platform", platform, str(ROOT)], capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert done.returncode == 0, done.stderr
    expected = {f"{python}-{on}" for python, on in itertools.product(PYTHONS, PLATFORMS[platform])}
    assert set(done.stdout.split()) == expected


def test_the_configuration_fits_the_schema_of_cibuildwheel():
    from cibuildwheel.schema import get_schema

    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["cibuildwheel"]
    validator = jsonschema_rs.validator_for(get_schema())
    assert [error.message for error in validator.iter_errors(configuration)] == []
    assert not validator.is_valid(configuration | {"biuld": "*"})


@pytest.mark.parametrize("platform", ["linux", "macos"])
def test_each_wheel_is_tried_and_those_without_the_extension_are_tagged(platform):
    """auditwheel takes nothing without compiled code, and the package index nothing that is of "linux" alone."""
    from cibuildwheel.options import CommandLineArguments, compute_options

    arguments = CommandLineArguments.defaults()
    arguments.package_dir = ROOT
    arguments.archs = "all"
    options = compute_options(platform=platform, command_line_arguments=arguments, env={})
    for python, on in itertools.product(PYTHONS, PLATFORMS[platform]):
        of_one = options.build_options(f"{python}-{on}")
        script = Path(of_one.test_command.split()[-1].format(project=ROOT))
        assert script.is_file()
        tag = of_one.config_settings
        if python.endswith("t"):
            assert of_one.repair_command == ""
            family, _, processor = on.partition("_")
            version = {"manylinux": "2_17", "musllinux": "1_2"}.get(family)
            assert tag == ("" if version is None else f"--build-option=--plat-name={family}_{version}_{processor}")
        else:
            assert of_one.repair_command
            assert tag == ""
