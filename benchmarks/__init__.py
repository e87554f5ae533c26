"""Every figure of the README, measured beside what it is compared with: ``python -m benchmarks``.

::

    python -m benchmarks             all groups, about half an hour
    python -m benchmarks --quick     the same with fewer rounds and smaller sizes, two minutes
    python -m benchmarks GROUP…      some of them: log_cost tails loop_tax throughput size memory startup growth
    python -m benchmarks --peers     the peers too, each in a virtual environment of its own

A group is a module: ``figures(stage)`` gives its figures, and the functions that it runs in fresh processes are beside
it. A figure is a ratio or a difference *within one run*, over interleaved rounds, as a median with its quartiles: these
are shared machines, and what one shows alone means little. Servers, spools and shared memory are of the benchmark's own
and go with it.
"""
