"""The way to a server: HTTP with one deadline an exchange, and the key that goes with it.

    address, secret, keys   what a server and a key are, and where they are kept
    deadline, connection    sockets that end in time
    transport, reasons      one exchange, and why it failed, in words
    account, local          whose key it is; the embedded server of this machine

``requests`` is imported when the first request is sent.
"""
