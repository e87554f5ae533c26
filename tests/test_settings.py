"""Settings: argument > environment > file > default, and what cannot be used says where it was found."""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
import traceback
from dataclasses import fields
from pathlib import Path

import pytest

from apart import apart
from steplog.default_paths import state_directory
from steplog.errors import ConfigurationError
from steplog.secret import Secret
from steplog.settings import Settings, documented, resolve, sources

CANARY = "canary-in-the-settings"


def test_an_argument_wins_over_the_environment_over_the_file_over_the_default(tmp_path):
    (tmp_path / "steplog.toml").write_text('project = "file"\nnamespace = "file"\nname = "file"\n')
    environ = {"STEPLOG_PROJECT": "environment", "STEPLOG_NAMESPACE": "environment"}

    settings = resolve(environ, tmp_path, project="argument")

    assert (settings.project, settings.namespace, settings.name) == ("argument", "environment", "file")
    told = sources(settings)
    assert told["project"] == "argument"
    assert told["namespace"] == "environment STEPLOG_NAMESPACE"
    assert told["name"] == f"file {tmp_path / 'steplog.toml'}"
    assert told["mode"] == "default"


def test_without_anything_each_setting_has_its_default(tmp_path):
    settings = resolve({}, tmp_path)
    assert settings.url == "https://platform.tellurio.ai"
    assert settings.api_key is None
    assert settings.mode == "online"
    assert settings.memory_bytes_max is None
    assert settings.value_bytes_max == 2**20
    assert (settings.finish_timeout_s, settings.exchange_timeout_s, settings.connect_timeout_s) == (60, 30, 10)
    assert settings.dir.is_absolute()
    assert settings.dir.name == "steplog"
    assert settings.memory_dir is None  # one in /dev/shm: see test_default_paths
    assert set(sources(settings).values()) == {"default"}


def test_each_setting_is_read_from_its_variable_by_its_kind(tmp_path):
    environ = {
        "STEPLOG_URL": "https://Runs.Example:443/api/",
        "STEPLOG_API_KEY": CANARY,
        "STEPLOG_MODE": "offline",
        "STEPLOG_DIR": "spool",
        "STEPLOG_MEMORY_BYTES_MAX": "1_048_576",
        "STEPLOG_QUIET": "Yes",
        "STEPLOG_STRICT": "0",
        "STEPLOG_FINISH_TIMEOUT_S": "2.5",
        "STEPLOG_CONNECTIONS_MAX": "3",
    }
    settings = resolve(environ, tmp_path)
    assert settings.url == "https://runs.example/api"
    assert settings.api_key == Secret(CANARY)
    assert settings.mode == "offline"
    assert settings.dir == tmp_path / "spool"
    assert settings.memory_bytes_max == 2**20
    assert (settings.quiet, settings.strict) == (True, False)
    assert settings.finish_timeout_s == 2.5
    assert settings.connections_max == 3


def test_an_empty_variable_and_an_argument_of_none_count_as_not_given(tmp_path):
    settings = resolve({"STEPLOG_PROJECT": "", "STEPLOG_MODE": ""}, tmp_path, project=None)
    assert (settings.project, settings.mode) == (None, "online")


@pytest.mark.parametrize(
    ("environ", "url", "origin"),
    [
        ({"TELLURIO_BACKEND_HTTP_BASE_URL": "http://localhost", "TELLURIO_BACKEND_HTTP_PORT": "8000"},
         "http://localhost:8000", "environment TELLURIO_BACKEND_HTTP_BASE_URL"),
        ({"TELLURIO_BACKEND_HTTP_BASE_URL": "https://runs.example/"},
         "https://runs.example", "environment TELLURIO_BACKEND_HTTP_BASE_URL"),
        ({"TELLURIO_BACKEND_HTTP_PORT": "8443"},
         "https://platform.tellurio.ai:8443", "environment TELLURIO_BACKEND_HTTP_PORT"),
        ({"TELLURIO_BACKEND_HTTP_BASE_URL": "http://localhost:8000", "TELLURIO_BACKEND_HTTP_PORT": "8000"},
         "http://localhost:8000", "environment TELLURIO_BACKEND_HTTP_BASE_URL"),
        ({"TELLURIO_BACKEND_HTTP_BASE_URL": "https://old.example", "STEPLOG_URL": "https://new.example"},
         "https://new.example", "environment STEPLOG_URL"),
    ],
)  # fmt: skip
def test_the_names_of_the_original_client_give_the_address(tmp_path, environ, url, origin):
    settings = resolve(environ, tmp_path)
    assert (settings.url, sources(settings)["url"]) == (url, origin)


def test_the_key_of_steplog_wins_over_the_key_of_the_original_client(tmp_path):
    settings = resolve({"STEPLOG_API_KEY": "ours", "TELLURIO_API_KEY": "theirs"}, tmp_path)
    assert settings.api_key == Secret("ours")
    theirs = resolve({"TELLURIO_API_KEY": "theirs"}, tmp_path)
    assert theirs.api_key == Secret("theirs")
    assert sources(theirs)["api_key"] == "environment TELLURIO_API_KEY"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STEPLOG_MODE", "onlne"),
        ("STEPLOG_QUIET", "maybe"),
        ("STEPLOG_FINISH_TIMEOUT_S", "soon"),
        ("STEPLOG_FINISH_TIMEOUT_S", "-1"),
        ("STEPLOG_FINISH_TIMEOUT_S", "nan"),
        ("STEPLOG_FINISH_TIMEOUT_S", "inf"),
        ("STEPLOG_EXCHANGE_TIMEOUT_S", "0"),
        ("STEPLOG_CONNECTIONS_MAX", "0"),
        ("STEPLOG_CONNECTIONS_MAX", "2.5"),
        ("STEPLOG_CONNECTIONS_MAX", "9" * 5000),
        ("STEPLOG_VALUE_BYTES_MAX", "1 MiB"),
        ("STEPLOG_PROJECT", "   "),
        ("STEPLOG_DIR", "a\0b"),
        ("STEPLOG_URL", "platform.tellurio.ai"),
        ("STEPLOG_URL", "ftp://platform.tellurio.ai"),
        ("STEPLOG_URL", "https://host:port"),
        ("STEPLOG_URL", "https://host:0"),
        ("STEPLOG_URL", "https://host/?a=b"),
        ("STEPLOG_URL", "https://ho st"),
        ("STEPLOG_URL", "https://hóst"),
        ("STEPLOG_URL", "https://[::1"),
        ("STEPLOG_BATCH_AGE_S", "2"),
        ("TELLURIO_BACKEND_HTTP_PORT", "eighty"),
        ("TELLURIO_BACKEND_HTTP_PORT", "99999"),
    ],
)
def test_what_does_not_parse_names_the_setting_and_the_variable(tmp_path, variable, value):
    with pytest.raises(ConfigurationError) as raised:
        resolve({variable: value}, tmp_path)
    text = str(raised.value)
    if variable == "STEPLOG_BATCH_AGE_S":
        assert "batch_age_s" in text
    else:
        assert f"(environment {variable})" in text
    assert len(text) < 300


@pytest.mark.parametrize(("interval_s", "age_s"), [("0.6", 0.54), ("1", 0.9), ("600", 0.9)])
def test_whoever_shortens_the_spool_interval_alone_has_batches_that_are_younger(tmp_path, interval_s, age_s):
    settings = resolve({"STEPLOG_SPOOL_INTERVAL_S": interval_s}, tmp_path)
    assert settings.batch_age_s == pytest.approx(age_s)


def test_two_ports_that_differ_are_refused(tmp_path):
    environ = {"TELLURIO_BACKEND_HTTP_BASE_URL": "http://localhost:1", "TELLURIO_BACKEND_HTTP_PORT": "2"}
    with pytest.raises(ConfigurationError, match="port 2 is given, and 1 in the address"):
        resolve(environ, tmp_path)


def test_an_address_with_a_password_is_refused_without_repeating_it(tmp_path):
    with pytest.raises(ConfigurationError) as raised:
        resolve({"STEPLOG_URL": f"https://user:{CANARY}@host"}, tmp_path)
    assert "STEPLOG_API_KEY" in str(raised.value)
    assert CANARY not in str(raised.value)


def test_an_unknown_argument_is_a_type_error(tmp_path):
    with pytest.raises(TypeError, match="no such setting: projekt"):
        resolve({}, tmp_path, projekt="x")


class TestFile:
    def test_the_nearest_directory_upwards_that_has_settings_counts(self, tmp_path):
        inner = tmp_path / "a" / "b"
        inner.mkdir(parents=True)
        (tmp_path / "steplog.toml").write_text('project = "outer"')
        (tmp_path / "a" / "pyproject.toml").write_text('[tool.steplog]\nproject = "inner"\ndir = "runs"')
        (inner / "pyproject.toml").write_text('[project]\nname = "mentions steplog and has no settings"')
        settings = resolve({}, inner)
        assert settings.project == "inner"
        assert settings.dir == tmp_path / "a" / "runs"

    def test_steplog_toml_wins_over_pyproject_beside_it(self, tmp_path):
        (tmp_path / "steplog.toml").write_text('project = "own"')
        (tmp_path / "pyproject.toml").write_text('[tool.steplog]\nproject = "shared"')
        assert resolve({}, tmp_path).project == "own"

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ('projekt = "x"', "no such setting: 'projekt'"),
            ("quiet = 1", "true or false is expected"),
            ('connections_max = "three"', "connections_max"),
            ("connections_max = true", "a whole number"),
            ("finish_timeout_s = true", "a number of seconds"),
            ("project = 3", "a text is expected"),
            ("url = 3", "an address is expected"),
            ("dir = 3", "a path is expected"),
            ("project = ", "steplog.toml"),
        ],
    )
    def test_a_mistake_names_the_file(self, tmp_path, content, words):
        path = tmp_path / "steplog.toml"
        path.write_text(content)
        with pytest.raises(ConfigurationError) as raised:
            resolve({}, tmp_path)
        assert words in str(raised.value)
        assert str(path) in str(raised.value)

    @pytest.mark.parametrize("asked", ['"steplog"', '"steplog>=0.2"', '"steplog==0.2.0"', "'steplog~=0.2', 'numpy'"])
    def test_a_pyproject_that_depends_on_steplog_is_not_parsed(self, tmp_path, monkeypatch, asked):
        monkeypatch.setitem(sys.modules, "tomllib" if sys.version_info >= (3, 11) else "tomli", None)
        (tmp_path / "pyproject.toml").write_text(f"[project]\ndependencies = [{asked}, 'torch']\n")
        assert resolve({}, tmp_path).project is None

    @pytest.mark.parametrize(
        "table",
        [
            "[ tool . steplog ]\nproject = 'x'",
            "['tool'.\"steplog\"]\nproject = 'x'",
            "[tool]\nsteplog.project = 'x'",
            "[tool]\nsteplog\t= { project = 'x' }",
            "tool = { 'steplog' = { project = 'x' } }",
        ],
    )
    def test_each_spelling_of_the_table_is_read(self, tmp_path, table):
        (tmp_path / "pyproject.toml").write_text(table)
        assert resolve({}, tmp_path).project == "x"

    def test_a_file_that_is_read_again_is_parsed_again_only_if_it_has_changed(self, tmp_path, monkeypatch):
        file = tmp_path / "steplog.toml"
        file.write_text("project = 'one'")
        assert resolve({}, tmp_path).project == "one"
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, "tomllib" if sys.version_info >= (3, 11) else "tomli", None)
            assert resolve({}, tmp_path).project == "one"
        file.write_text("project = 'two'")
        assert resolve({}, tmp_path).project == "two"

    def test_a_broken_pyproject_that_is_not_about_us_is_left_alone(self, tmp_path):
        (tmp_path / "pyproject.toml").write_text("[half written")
        assert resolve({}, tmp_path).project is None

    def test_a_table_that_is_none_is_refused(self, tmp_path):
        (tmp_path / "pyproject.toml").write_text('[tool]\nsteplog = "x"')
        with pytest.raises(ConfigurationError, match="not a table"):
            resolve({}, tmp_path)

    def test_a_key_in_a_file_of_a_project_is_refused_without_repeating_it(self, tmp_path):
        (tmp_path / "steplog.toml").write_text(f'api_key = "{CANARY}"')
        with pytest.raises(ConfigurationError) as raised:
            resolve({}, tmp_path)
        assert "STEPLOG_API_KEY" in str(raised.value)
        shown = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
        assert CANARY not in "".join(shown.format())

    def test_a_file_of_another_user_is_not_read(self, tmp_path, monkeypatch, caplog):
        """In a directory above the current one it could send the key to a server of its owner's."""
        path = tmp_path / "steplog.toml"
        path.write_text('url = "https://elsewhere.example"')
        if os.getuid() == 0:
            os.chown(path, 54321, -1)
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        assert resolve({}, tmp_path).url == "https://platform.tellurio.ai"
        assert f"{path} is not read: it belongs to another user" in caplog.text

    def test_a_directory_that_is_gone_has_no_file(self, tmp_path):
        assert resolve({}, tmp_path / "gone").project is None


class TestSecret:
    def test_the_key_shows_in_no_text(self, tmp_path):
        settings = resolve({"STEPLOG_API_KEY": CANARY}, tmp_path)
        assert settings.api_key is not None
        assert settings.api_key.reveal() == CANARY
        for text in (repr(settings), str(settings), f"{settings.api_key}", f"{settings.api_key!r}", repr([settings])):
            assert CANARY not in text
            assert "api_key" not in text

    def test_settings_with_a_key_are_not_pickled(self, tmp_path):
        assert pickle.loads(pickle.dumps(resolve({}, tmp_path))) == resolve({}, tmp_path)
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(resolve({"STEPLOG_API_KEY": CANARY}, tmp_path))

    def test_a_fault_beside_the_key_does_not_show_the_key(self, tmp_path):
        """A traceback with the variables of each frame once held the whole environment."""
        environ = {"STEPLOG_API_KEY": CANARY, "STEPLOG_MODE": "onlne"}

        def raised() -> ConfigurationError:
            with pytest.raises(ConfigurationError) as caught:
                resolve(environ, tmp_path)
            return caught.value

        frames = list(traceback.walk_tb(raised().__traceback__))[1:]
        shown = "".join(repr(dict(frame.f_locals)) for frame, _ in frames)
        assert CANARY not in shown


def test_the_docs_can_be_made_from_the_fields():
    rows = documented()
    assert [row[0] for row in rows] == [field.name for field in fields(Settings)]
    assert all(variables.startswith("STEPLOG_") and default and meaning for _, variables, default, meaning in rows)
    by_name = {name: (variables, default) for name, variables, default, _ in rows}
    assert by_name["api_key"] == ("STEPLOG_API_KEY, TELLURIO_API_KEY", "–")
    assert by_name["finish_timeout_s"] == ("STEPLOG_FINISH_TIMEOUT_S", "60.0")


def test_without_a_writable_home_state_is_in_a_private_temporary_directory(tmp_path, monkeypatch):
    """Until a restart of the machine nothing is lost so; in a place that is not there everything was."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_directory() == resolve().dir == tmp_path / ".local" / "state" / "steplog"
    for home in ("/dev/null", "/dev/null/none"):
        monkeypatch.setenv("HOME", home)
        assert state_directory() == resolve().dir == Path(tempfile.gettempdir()) / f"steplog-state-{os.getuid()}"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without a home")
@apart
def test_the_state_of_an_unknown_user_is_in_a_temporary_directory(monkeypatch: pytest.MonkeyPatch):
    """As in a container that runs under a number: each command and each run ended in a RuntimeError of platformdirs."""
    state_directory()  # all that it imports can be read by root alone
    monkeypatch.delenv("HOME")
    os.setuid(54321)
    assert state_directory() == resolve(directory=Path("/")).dir == Path(tempfile.gettempdir()) / "steplog-state-54321"
