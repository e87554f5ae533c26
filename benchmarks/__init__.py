"""Measure each figure of the README beside what it is compared with: ``python -m benchmarks``.

::

    python -m benchmarks             all groups, about half an hour; two of them need PostgreSQL
    python -m benchmarks --quick     fewer rounds and smaller sizes, ten minutes
    python -m benchmarks GROUP…      some of them; --help names them
    python -m benchmarks --peers     the peers, each in a virtual environment of its own
    python -m benchmarks --write docs/speed.md     and the page that shows them

A group is a module: ``figures(stage)`` gives its figures. A figure is a ratio or difference *within one run*, over
interleaved rounds, as a median with quartiles, since the machines are shared. Servers, spools and shared memory are the
benchmark's own and are removed.
"""
