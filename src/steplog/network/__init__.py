"""The way to a server: HTTP with one deadline an exchange, and the key that goes with it.

    keys                    where a key is kept
    deadline, connection    sockets that end in time
    incoming, pool          an answer as it comes in; the connections that are kept
    route                   the proxy on the way
    transport, reasons      one exchange, and why it failed, in words
    reply                   the answer that came
    account, local          whose key it is; the embedded server of this machine

``requests`` is imported for the answers that users get, and for refusals.
"""
