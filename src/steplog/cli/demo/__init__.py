"""``steplog demo``: kill a server and a worker, then count what became of every ``log()``.

Exit codes: 0 every call is in the database once, 1 it is not or the demo failed, 130 Ctrl-C, SIGTERM or SIGHUP.
"""

from __future__ import annotations

import signal

import click

__all__ = ["command"]

_INTERRUPTED = 130


@click.command("demo")
@click.option("--keep", is_flag=True, help="Keep the server's database and print its path.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON and nothing else.")
@click.option("--seconds", default=14.0, type=click.FloatRange(2.0, 600.0), hidden=True)
@click.pass_context
def command(context: click.Context, keep: bool, as_json: bool, seconds: float) -> None:
    """Kill a server and a training process, and count what is lost.

    Takes 20 seconds, needs no account and no network, and leaves nothing behind.
    """
    from steplog.cli.demo.output import Output
    from steplog.cli.demo.scenario import DemoError, Scenario

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    output = Output(as_json)
    try:
        with Scenario(seconds, keep, output) as scenario, output.live:
            document = scenario.run()
    except KeyboardInterrupt:
        click.echo(f"steplog: demo interrupted{'' if keep else '; nothing is left on this machine'}", err=True)
        context.exit(_INTERRUPTED)
    except BrokenPipeError:
        raise  # nobody reads what it prints
    except OSError as error:
        raise DemoError(f"no room for the demo: {error}. Set TMPDIR to a directory with 100 MB free") from error
    output.result(document, scenario.database if keep else None)
    context.exit(0 if document["good"] else 1)
