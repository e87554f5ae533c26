"""What people would use instead, measured in the same run: ``python -m benchmarks --peers``.

Each peer gets a virtual environment of its own, below a directory that git ignores. One that does not install, or does
not run, is a row that says so. They are used as their documentation shows, offline or against something local, with
what they collect by themselves switched off where a setting says so.
"""
