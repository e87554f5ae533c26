"""The command line: one module a command, imported when the command is called.

Its module has a click command named ``command`` and a line in ``_COMMANDS``. Errors are one line on stderr; ``--debug``
adds the traceback. Exit codes: 0 success, 1 failure, 2 usage, 130 Ctrl-C.
"""

from __future__ import annotations

import errno
import importlib
import keyword
import sys
import traceback
from collections.abc import Callable
from typing import Any, cast

import click

from steplog import SteplogError

__all__ = ["main"]

_COMMANDS = {  # what --help lists without importing the commands: the first line of their own help
    "artifacts": "List the artifacts of a project, their versions and files, or download these.",
    "clean": "Remove delivered runs from this machine.",
    "db": "Copy, upgrade, shrink or move the database of a server.",
    "demo": "Kill a server and a training process, and count what is lost.",
    "doctor": "Check the settings, this machine, the server and the key.",
    "export": "Write runs to a file, or to a directory with a file for each, and their files.",
    "files": "List the files of a run, or download them.",
    "import": "Import runs from files: of other loggers, and those that export has written.",
    "key": "Issue, list, revoke and rotate the keys of a server of this machine.",
    "login": "Store an API key.",
    "ls": "List the runs on the server and those that wait on this machine.",
    "member": "Give users a role in a namespace or a project, list and take them away.",
    "mv": "Give a run another name.",
    "project": "List the projects of a server, and set who sees one and how long it keeps its runs.",
    "restore": "Take a run out of the server's trash.",
    "rm": "Move runs to the server's trash.",
    "serve": "Run a server on this machine.",
    "show": "Show the status, config, metrics and exception of a run.",
    "sync": "Deliver the runs that wait on this machine.",
    "tag": "Add tags to a run, or remove them.",
    "tail": "Print the last points of a run, and with -f those that come.",
    "user": "Add, list and remove the users of a server.",
}
_INTERRUPTED = 130
_UNWRITABLE = (errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT)


class _Commands(click.Group):
    """The commands of ``_COMMANDS`` and those declared here."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _COMMANDS:
            module = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
            return cast(click.Command, importlib.import_module(f"steplog.cli.{module}").command)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.commands[name].get_short_help_str(80)) for name in self.list_commands(ctx)])

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Each error is one line."""
        run: Callable[..., Any] = super().main
        if not standalone_mode:
            return run(*args, standalone_mode=False, **extra)
        try:
            code = run(*args, standalone_mode=False, **extra)
        except click.ClickException as error:
            _print_click_error(error)
            code = error.exit_code
        except click.Abort as error:
            interrupted = isinstance(error.__context__, KeyboardInterrupt)
            _print_error("interrupted" if interrupted else "aborted; what is not delivered is kept")
            code = _INTERRUPTED if interrupted else 1
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click ends quietly: nobody reads any more
        except (SteplogError, OSError) as error:
            if ctx.params["debug"]:
                _print_traceback()
            _print_error(_message(error))
            return ctx.exit(1)


def _print_click_error(error: click.ClickException) -> None:
    if not isinstance(error, click.UsageError) or error.ctx is None:
        _print_error(error.format_message())
    elif not error.ctx.args and error.format_message() == error.ctx.get_help():
        error.show()  # no command: the help
    else:
        _print_error(f"{error.format_message()} Type: {error.ctx.command_path} --help")
        for line in getattr(error, "below", ()):  # what was typed, and where it is wrong
            click.echo(line, err=True)


def _print_error(message: str) -> None:
    from steplog.cli.printing import printable

    click.echo(f"steplog: {printable(' '.join(message.split()), 2000)}", err=True)


def _print_traceback() -> None:
    from steplog.cli.printing import printable

    for line in traceback.format_exc().split("\n"):
        click.echo(printable(line, 2000), err=True)


def _message(error: Exception) -> str:
    if not isinstance(error, OSError) or isinstance(error, SteplogError) or error.filename is None:
        return str(error)
    message = f"{error.filename}: {error.strerror}"
    if error.errno in _UNWRITABLE:
        message += ". What was logged is kept. Set STEPLOG_DIR to a directory that can be written"
    return message


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from steplog import __version__

        click.echo(__version__)
        context.exit()


@click.group(
    "steplog",
    cls=_Commands,
    commands={name: click.Command(name, short_help=text) for name, text in _COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--debug", is_flag=True, help="Print the traceback of an error.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Print the version."
)
def main(debug: bool) -> None:
    """Log the metrics of training runs; deliver, list and show them."""


@main.command("version")
def _version() -> None:
    """Print the version."""
    from steplog import __version__

    click.echo(__version__)
