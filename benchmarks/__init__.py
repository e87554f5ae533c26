"""Every figure of the README, measured beside what it is compared with: ``python -m benchmarks``.

::

    python -m benchmarks             all groups, about twelve minutes
    python -m benchmarks --quick     the same with fewer rounds and smaller sizes, two minutes
    python -m benchmarks GROUP…      some of them; --help names them
    python -m benchmarks --peers     the peers, each in a virtual environment of its own
    python -m benchmarks --write docs/speed.md     and the page that shows them

A group is a module: ``figures(stage)`` gives its figures, and the functions that it runs in fresh processes are beside
it. A figure is a ratio or a difference *within one run*, over interleaved rounds, as a median with its quartiles: these
are shared machines, and what one shows alone means little. Servers, spools and shared memory are of the benchmark's own
and go with it.
"""
