"""A run's life in a process.

init, attach, process       create or join a run; what all runs share
open_run, disabled          while it is open
exit_code, exit_progress    how the program ends, and what it shows
crash_record, messages      what is recorded and printed then
run_stats                   its counts
adoption, recovery          what dead processes left
"""
