"""A run's life in a process.

init, attach, process       create or join a run; what all runs share
resuming, finding, kept     which run is meant: by id or name, on this host or on the server
joining, continuing         a run that exists is opened; one that is open here goes on
open_run, disabled          while it is open
takeover                    the owner is gone, and another process delivers
run_fields, renaming        what is set of it
run_state, steps            what it has already: fields, config, steps
provenance, deletion        where it was started from; its end on the server
exit_code, exit_progress    how the program ends, and what it shows
crash_record, messages      what is recorded and printed then
run_stats                   its counts
adoption, recovery          what dead processes left
described, journal_view     a run as its server describes it, a journal as another process sees it
"""
