"""The alternatives, measured in the same run: ``python -m benchmarks --peers``.

Each peer has its own virtual environment in a directory that git ignores, and is used as its documentation shows:
offline or against something local, without what it collects by itself. One that does not install or run is a row that
says so.
"""
