"""Files of runs that wait on this machine: what ``log`` took of media, and what was saved, until the server has it."""
