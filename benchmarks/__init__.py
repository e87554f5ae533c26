"""Measure each figure of the README beside what it is compared with: ``python -m benchmarks``.

::

    python -m benchmarks --quick     the groups that tell whether it is fast, in two minutes
    python -m benchmarks             all groups; some need PostgreSQL, others Chromium
    python -m benchmarks GROUP…      some of them; --help names them; --quick all: all with fewer rounds
    python -m benchmarks --peers     the peers, each in a virtual environment of its own, half an hour
    python -m benchmarks --only-write --write docs/speed.md     the page of all that was measured so far

A group is a module: ``figures(stage)`` gives its figures. A figure is a ratio or difference *within one run*, over
interleaved rounds, as a median with quartiles, since the machines are shared. Servers, spools and shared memory are the
benchmark's own and are removed, by the next run if this one is killed.
"""
