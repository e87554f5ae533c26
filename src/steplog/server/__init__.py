"""The embedded server: the run API over a database on this machine.

It shares with the client only the wire format and the state file. Nothing here is imported unless a server is
started.
"""
