"""The embedded server: the run API over a SQLite database on this machine.

Shares with the client only the wire format and the state file. Imported only when a server starts.
"""
