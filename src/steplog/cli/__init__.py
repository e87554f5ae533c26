"""The command line: one module a command, imported when that command is called.

A module exposes ``command``, a click command, and has a line in ``_MODULES``. An error is one line on stderr;
``--debug`` adds the traceback. Exit codes: 0 success, 1 failure, 2 usage, 130 Ctrl-C in ``demo`` or ``sync``.
"""

from __future__ import annotations

import errno
import importlib
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from steplog.errors import SteplogError

__all__ = ["main"]

_MODULES = {  # by name: the module, and what --help says of the command without importing it
    "clean": ("steplog.cli.clean", "Remove from this machine what is delivered."),
    "demo": ("steplog.cli.demo", "See what happens when the server goes away and a process is killed."),
    "doctor": ("steplog.cli.doctor", "Say what is set, what works, and what does not."),
    "login": ("steplog.cli.login", "Store an API key."),
    "ls": ("steplog.cli.ls", "List the runs on the server, and what waits here."),
    "serve": ("steplog.cli.serve", "Run a server on this machine."),
    "show": ("steplog.cli.show", "Show a run: its status, its config, its metrics, and what it went down on."),
    "sync": ("steplog.cli.sync", "Deliver what waits on this machine."),
}


class _Commands(click.Group):
    """The commands of ``_MODULES`` beside those declared here."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _MODULES:
            command: click.Command = importlib.import_module(_MODULES[cmd_name][0]).command
            return command
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.commands[name].get_short_help_str()) for name in self.list_commands(ctx)])

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """As click's, but that each error is one line."""
        run: Callable[..., Any] = super().main
        if not standalone_mode:
            return run(*args, standalone_mode=False, **extra)
        try:
            code = run(*args, standalone_mode=False, **extra)
        except click.ClickException as error:
            _show(error)
            code = error.exit_code
        except click.Abort:
            click.echo("steplog: stopped; nothing of it is lost", err=True)
            code = 1
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click's: whoever read has seen enough
        except (SteplogError, OSError) as error:
            if ctx.params["debug"]:
                traceback.print_exc()
            click.echo(f"steplog: {' '.join(_words(error).split())}", err=True)
            return ctx.exit(1)


def _show(error: click.ClickException) -> None:
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None and not context.args and error.format_message() == context.get_help():
        error.show()  # no command: the help
        return
    command = context.command_path if context is not None else "steplog"
    click.echo(f"steplog: {' '.join(error.format_message().split())} Type: {command} --help", err=True)


def _words(error: Exception) -> str:
    if not isinstance(error, OSError) or isinstance(error, SteplogError) or error.filename is None:
        return str(error)
    said = f"{error.filename}: {error.strerror}"
    if error.errno in (errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT):
        said += ". What was logged is kept. Set STEPLOG_DIR to a directory that can be written"
    return said


@click.group(
    "steplog",
    cls=_Commands,
    commands={name: click.Command(name, short_help=words) for name, (_, words) in _MODULES.items()},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Log the metrics of training runs without ever waiting for it."""


@main.command("version")
def _version() -> None:
    """Print the version."""
    try:
        click.echo(version("steplog"))
    except PackageNotFoundError:
        click.echo("not installed")
