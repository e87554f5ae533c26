"""``steplog demo``: what no other logger survives, in twenty seconds, with nothing to configure.

A server of its own, three processes that each train a small network and log to it, the server killed for some
seconds, one of the processes killed meanwhile; then what became of every call, counted in the server's database.
Everything is in directories of its own, which are removed at the end.

Exit codes: 0 every call is in the database once; 1 it is not, a process did not do its part, or
there is no room to begin; 130 Ctrl-C.
"""

from __future__ import annotations

import signal
from types import FrameType

import click

__all__ = ["command"]

_SECONDS = 14.0
_INTERRUPTED = 130


@click.command("demo")
@click.option("--keep", is_flag=True, help="Keep the server's database, and say where it is.")
@click.option("--json", "in_json", is_flag=True, help="Print the figures as JSON, and nothing else.")
@click.option("--seconds", default=_SECONDS, type=click.FloatRange(2.0, 600.0), hidden=True)
@click.pass_context
def command(context: click.Context, keep: bool, in_json: bool, seconds: float) -> None:
    """See what happens when the server goes away and a process is killed.

    Takes 20 seconds. Needs no account and no network, and leaves nothing behind.
    """
    from rich.live import Live

    from steplog.cli import printing
    from steplog.cli.demo import showing
    from steplog.cli.demo.counting import Outcome
    from steplog.cli.demo.play import Play, Seen

    shown = printing.console()
    story = showing.Story(shown)
    live = Live(console=shown, transient=True, refresh_per_second=10) if shown.is_terminal and not in_json else None

    def say(line: str) -> None:
        if not in_json:
            story.say(line)

    def show(seen: Seen) -> None:
        if live is not None:
            live.update(showing.moving(seen))

    def perform(play: Play) -> Outcome:
        if live is None:
            return play.perform()
        with live:
            return play.perform()

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        with Play(seconds, keep, say, show) as play:
            outcome = perform(play)
            kept = play.room.database if keep else None
    except KeyboardInterrupt:
        click.echo("steplog: the demo was stopped; nothing is left behind", err=True)
        context.exit(_INTERRUPTED)
    if in_json:
        printing.print_json(showing.as_json(outcome, kept))
    else:
        printing.show(shown, showing.report(outcome))
        printing.show(shown, showing.conclusion(outcome, kept))
    context.exit(0 if outcome.total.good and outcome.settled else 1)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
